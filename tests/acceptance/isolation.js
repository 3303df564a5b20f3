// What a page can try against another address. Each gives what it got hold of; null or an exception is nothing.
const within = (promise, what) =>
  Promise.race([promise, new Promise((_, no) => setTimeout(() => no(new Error(`${what}: nothing`)), 4000))]);

const loads = (element, url, attribute) => new Promise((yes, no) => {
  element.onload = () => yes(element);
  element.onerror = () => no(new Error('error'));
  element[attribute] = url;
  document.body.append(element);
});

const frame = async (url) => {
  const made = await loads(document.createElement('iframe'), url, 'src');
  return made.contentDocument && made.contentDocument.body.innerText;
};

const form = async (base, target) => {
  const made = document.createElement('form');
  Object.assign(made, {action: base + '/secret?form', method: 'POST', target, enctype: 'text/plain'});
  made.innerHTML = '<input name="by" value="form">';
  document.body.append(made);
  made.submit();
};

const attacks = {
  fetch: async (base) => (await fetch(base + '/secret', {credentials: 'include'})).text(),
  fetchBlind: async (base) => {
    const got = await fetch(base + '/secret', {credentials: 'include', mode: 'no-cors'});
    return got.type === 'opaque' ? null : got.status;
  },
  fetchPost: async (base) => {
    const options = {method: 'POST', credentials: 'include', mode: 'no-cors', body: 'by fetch'};
    const got = await fetch(base + '/secret?post', options);
    return got.type === 'opaque' ? null : got.status;
  },
  fetchPut: async (base) => (await fetch(base + '/secret', {method: 'PUT', credentials: 'include', body: 'x'})).status,
  xhr: (base) => new Promise((yes, no) => {
    const made = new XMLHttpRequest();
    made.open('GET', base + '/secret?xhr');
    made.withCredentials = true;
    made.onload = () => yes(made.responseText);
    made.onerror = no;
    made.send();
  }),
  image: async (base) => (await loads(new Image(), base + '/pixel.gif?' + Math.random(), 'src')).width,
  script: async (base) => {
    self.loaded = null;
    await loads(document.createElement('script'), base + '/script.js?' + Math.random(), 'src');
    return self.loaded;
  },
  frame: (base) => frame(base + '/page'),
  object: async (base) => {
    const made = await loads(document.createElement('object'), base + '/page', 'data');
    return made.contentDocument && made.contentDocument.body.innerText;
  },
  worker: (base) => new Promise((yes, no) => {
    const code = `importScripts(${JSON.stringify(base + '/script.js?worker')}); postMessage(self.loaded)`;
    const made = new Worker(URL.createObjectURL(new Blob([code], {type: 'text/javascript'})));
    made.onmessage = (event) => yes(event.data);
    made.onerror = no;
  }),
  events: (base) => new Promise((yes, no) => {
    const made = new EventSource(base + '/events', {withCredentials: true});
    made.onmessage = (event) => { made.close(); yes(event.data); };
    made.onerror = () => { made.close(); no(new Error('error')); };
  }),
  webSocket: (base) => new Promise((yes, no) => {
    const made = new WebSocket(base.replace('https:', 'wss:') + '/socket');
    made.onopen = () => { made.close(); yes('open'); };
    made.onerror = no;
  }),
  formInFrame: async (base) => {
    const made = document.createElement('iframe');
    made.name = 'formed' + Math.random();
    document.body.append(made);
    const loaded = new Promise((yes) => { made.onload = yes; });
    await form(base, made.name);
    await loaded;
    return made.contentDocument && made.contentDocument.body.innerText;
  },
  beacon: async (base) => { navigator.sendBeacon(base + '/secret?beacon', 'by beacon'); return null; },
};

const attack = async (base) => {
  const results = {};
  for (const [name, run] of Object.entries(attacks)) {
    try {
      results[name] = await within(run(base), name) || null;
    } catch (error) {
      results[name] = null;
    }
  }
  return results;
};
