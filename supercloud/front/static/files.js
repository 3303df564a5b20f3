// The folder page: upload, new folder, rename, delete. It puts names into the page as text only, never as HTML, and
// does nothing that nobody clicked on.

const byId = (id) => document.getElementById(id);
const here = new URL('.', location.href);
const say = (text) => { byId('said').textContent = text; };

// Address of a member of this folder; null for a name that no file can have.
const addressOf = (name) => {
  if (!name || name === '.' || name === '..' || /[/\0]/.test(name)) return null;
  try {
    return new URL('./' + encodeURIComponent(name), here);
  } catch {
    return null; // half of a surrogate pair
  }
};

const reasonOf = (status, text) => {
  if (status === 401) return 'You are signed out. Load this page again to sign in.';
  if (status === 207) return 'Some of it could not be changed.';
  const line = text.split('\n', 1)[0];
  return line && line.length < 300 && !line.startsWith('<') ? line : `The portal answered ${status}.`;
};

// Send a request without a body; gives null when it succeeded, else why not and the status.
const change = async (method, address, fields = {}) => {
  try {
    const answer = await fetch(address, {method, headers: fields, redirect: 'error', cache: 'no-store'});
    const text = await answer.text();
    return answer.ok && answer.status !== 207 ? null : {status: answer.status, why: reasonOf(answer.status, text)};
  } catch {
    return {status: 0, why: 'The portal could not be reached.'};
  }
};

// Show a dialog; gives the value of the button that closed it, '' for cancel.
const open = (dialog) => new Promise((done) => {
  dialog.returnValue = '';
  dialog.addEventListener('close', () => done(dialog.returnValue), {once: true});
  dialog.showModal();
});

const askName = async (title, name) => {
  const input = byId('naming-name');
  byId('naming-title').textContent = title;
  input.value = name;
  input.oninput = () => {
    input.setCustomValidity(addressOf(input.value) ? '' : 'A name has no slash, and is neither “.” nor “..”.');
  };
  input.setCustomValidity('');
  const chosen = open(byId('naming'));
  const end = name.lastIndexOf('.');
  input.setSelectionRange(0, end > 0 ? end : name.length);
  return (await chosen) === 'go' && addressOf(input.value) ? input.value : null;
};

// Ask a question that a click on the named button answers with yes.
const askSure = async (text, button, {others = false} = {}) => {
  byId('asking-text').textContent = text;
  byId('asking-go').textContent = button;
  byId('asking-all').hidden = !others;
  const box = byId('asking-all').querySelector('input');
  box.checked = false;
  const isSure = (await open(byId('asking'))) === 'go';
  return {isSure, forAll: box.checked};
};

// Rows: each gets a button, and its time in this place's own way.
const times = new Intl.DateTimeFormat(undefined, {dateStyle: 'medium', timeStyle: 'short'});

const dress = () => {
  for (const time of document.querySelectorAll('#rows time')) time.textContent = times.format(new Date(time.dateTime));
  if (!byId('tools')) return;
  for (const cell of document.querySelectorAll('#rows tr.file td.act, #rows tr.folder td.act')) {
    const button = document.createElement('button');
    button.textContent = '⋯';
    button.setAttribute('aria-label', `Actions for ${cell.parentNode.querySelector('a').textContent}`);
    button.setAttribute('aria-haspopup', 'dialog');
    cell.append(button);
  }
};

const refresh = async () => {
  try {
    const answer = await fetch(location.href, {headers: {Accept: 'text/html'}, cache: 'no-store', redirect: 'error'});
    if (!answer.ok) throw new Error(answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    byId('rows').replaceWith(document.adoptNode(page.getElementById('rows')));
    dress();
  } catch {
    say('The list could not be read again. Load this page again.');
  }
};

const focusRow = (position) => {
  const buttons = byId('rows').querySelectorAll('td.act button');
  (buttons[Math.min(position, buttons.length - 1)] || byId('make')).focus();
};

const act = async (row) => {
  const link = row.querySelector('a');
  const name = link.textContent;
  const address = new URL(link.href);
  const isFolder = row.classList.contains('folder');
  const position = [...byId('rows').querySelectorAll('td.act button')].indexOf(row.querySelector('td.act button'));
  byId('acting-title').textContent = name;
  byId('acting-open').href = address;
  const chosen = await open(byId('acting'));
  if (chosen === 'rename') await rename(address, name, isFolder);
  if (chosen === 'delete') await remove(address, name, isFolder);
  if (chosen) focusRow(position);
};

const rename = async (address, name, isFolder) => {
  const wanted = await askName(`Rename ${name}`, name);
  if (wanted === null || wanted === name) return;
  const to = addressOf(wanted).href + (isFolder ? '/' : '');
  const failed = await change('MOVE', address, {Destination: to, Overwrite: 'F'});
  say(!failed ? `${name} is ${wanted} now.` : failed.status === 412 ? `There is a ${wanted} already.` : failed.why);
  await refresh();
};

const remove = async (address, name, isFolder) => {
  const text = isFolder ? `Delete the folder ${name} and everything in it?` : `Delete ${name}?`;
  if (!(await askSure(`${text} This cannot be undone.`, 'Delete')).isSure) return;
  const failed = await change('DELETE', address);
  say(failed ? failed.why : `${name} is deleted.`);
  await refresh();
};

const makeFolder = async () => {
  const name = await askName('New folder', '');
  if (name !== null) {
    const failed = await change('MKCOL', addressOf(name).href + '/');
    say(!failed ? `${name} is made.` : failed.status === 405 ? `There is a ${name} already.` : failed.why);
    await refresh();
  }
  byId('make').focus();
};

// Uploads: one after the other, each a line with its progress.
let queue = [];
let isUploading = false;
let choice = null; // what to do with files that are there already, once somebody said "all"

const makeLine = (file) => {
  const line = document.createElement('li');
  const [name, bar, told, button] = ['bdi', 'progress', 'span', 'button'].map((tag) => document.createElement(tag));
  name.textContent = file.name;
  bar.max = Math.max(1, file.size);
  bar.value = 0;
  bar.setAttribute('aria-label', `Upload of ${file.name}`);
  told.className = 'soft';
  told.textContent = 'waits';
  button.textContent = 'Cancel';
  button.setAttribute('aria-label', `Cancel the upload of ${file.name}`);
  line.append(name, bar, told, button);
  byId('uploads').append(line);
  byId('uploads').hidden = false;
  const upload = {file, bar, told, isCancelled: false, request: null};
  button.onclick = () => {
    upload.isCancelled = true;
    upload.request?.abort();
    finish(upload, 'cancelled');
  };
  upload.end = () => { bar.remove(); button.remove(); };
  return upload;
};

const finish = (upload, text) => {
  upload.told.textContent = text;
  upload.end();
};

const put = (upload, address, fields) => new Promise((done) => {
  const request = upload.request = new XMLHttpRequest();
  request.upload.onprogress = ({loaded}) => {
    upload.bar.value = loaded;
    upload.told.textContent = `${Math.floor(100 * loaded / upload.bar.max)} %`;
  };
  request.onload = () => done({status: request.status, why: reasonOf(request.status, request.responseText)});
  request.onerror = () => done({status: 0, why: 'The connection broke off.'});
  request.onabort = () => done({status: 0, why: 'cancelled'});
  request.open('PUT', address);
  for (const [name, value] of Object.entries(fields)) request.setRequestHeader(name, value);
  if (upload.file.lastModified) request.setRequestHeader('X-OC-Mtime', String(Math.floor(upload.file.lastModified / 1000)));
  request.send(upload.file);
});

// The condition under which a file may be written: it is not there, or it is the one that somebody agreed to replace.
const condition = async (upload, address) => {
  const found = await fetch(address, {method: 'HEAD', cache: 'no-store', redirect: 'manual'});
  if (found.status === 404) return {'If-None-Match': '*'};
  const tag = found.headers.get('ETag');
  if (!found.ok) throw new Error(reasonOf(found.status, ''));
  if (!tag) throw new Error('There is a folder of this name.');
  let isSure = choice;
  if (isSure === null) {
    const others = queue.length > 0;
    const said = await askSure(`There is a ${upload.file.name} already. Replace it?`, 'Replace', {others});
    isSure = said.isSure;
    if (said.forAll) choice = isSure;
  }
  return isSure ? {'If-Match': tag} : null;
};

const carry = async (upload) => {
  const address = addressOf(upload.file.name);
  if (!address) return finish(upload, 'has a name that no file can have');
  for (let tries = 0; tries < 3 && !upload.isCancelled; tries++) {
    let fields;
    try {
      fields = await condition(upload, address);
    } catch (error) {
      return finish(upload, error instanceof TypeError ? 'The portal could not be reached.' : error.message);
    }
    if (fields === null) return finish(upload, 'not replaced');
    if (upload.isCancelled) return;
    const {status, why} = await put(upload, address, fields);
    if (upload.isCancelled) return;
    if (status === 412) continue; // somebody was quicker: look again
    return finish(upload, status >= 200 && status < 300 ? 'done' : why);
  }
  if (!upload.isCancelled) finish(upload, 'It changes all the time; not replaced.');
};

const uploadAll = async (files) => {
  queue.push(...[...files].map(makeLine));
  if (isUploading) return;
  isUploading = true;
  choice = null;
  let count = 0;
  for (let upload = queue.shift(); upload; upload = queue.shift()) {
    if (upload.isCancelled) continue;
    await carry(upload);
    count += upload.told.textContent === 'done' ? 1 : 0;
  }
  isUploading = false;
  say(count === 1 ? '1 file is uploaded.' : `${count} files are uploaded.`);
  await refresh();
};

const dropped = (event) => {
  event.preventDefault();
  document.body.classList.remove('over');
  const files = [];
  for (const item of event.dataTransfer.items) {
    if (item.kind !== 'file') continue;
    const entry = item.webkitGetAsEntry?.();
    if (entry?.isDirectory) say('Folders cannot be dropped here; make the folder and drop its files into it.');
    else files.push(item.getAsFile());
  }
  if (files.length) uploadAll(files);
};

const begin = () => {
  dress();
  const tools = byId('tools');
  if (!tools) return;
  tools.hidden = false;
  byId('upload').onclick = () => byId('picked').click();
  byId('picked').onchange = ({target}) => { uploadAll(target.files); target.value = ''; };
  byId('make').onclick = makeFolder;
  document.querySelector('table.files').addEventListener('click', ({target}) => {
    const button = target.closest('td.act button');
    if (button) act(button.closest('tr'));
  });
  for (const button of document.querySelectorAll('dialog [data-close]')) {
    button.onclick = () => button.closest('dialog').close('');
  }
  addEventListener('dragover', (event) => { event.preventDefault(); document.body.classList.add('over'); });
  addEventListener('dragleave', ({relatedTarget}) => { if (!relatedTarget) document.body.classList.remove('over'); });
  addEventListener('drop', dropped);
  addEventListener('beforeunload', (event) => { if (isUploading) event.preventDefault(); });
};

begin();
