// Keeps the workspace's pages as they are now. Everything on them works without it.
'use strict';

// Times as the person's own clock has them.
const localise = (root) => {
  for (const time of root.querySelectorAll('time')) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime()))
      time.textContent = at.toLocaleString([], {dateStyle: 'medium', timeStyle: 'short'});
  }
};

// Parts marked data-live, and those that follow them, are replaced by what the server shows of them now; whoever is typing there is left alone.
const refresh = async () => {
  const parts = [...document.querySelectorAll('[data-live], [data-follows]')];
  if (!parts.length) return;
  const answer = await fetch(location.href, {headers: {Accept: 'text/html'}, cache: 'no-store'});
  if (!answer.ok || answer.redirected) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
  for (const part of parts) {
    const next = fresh.getElementById(part.id);
    if (!next) continue;
    localise(next);
    for (const [at, details] of part.querySelectorAll('details').entries())
      if (details.open && next.querySelectorAll('details')[at]) next.querySelectorAll('details')[at].open = true;
    if (next.innerHTML === part.innerHTML) continue;
    const focused = part.contains(document.activeElement) ? document.activeElement : null;
    if (focused && focused.matches('input, select, textarea')) continue;
    const mark = focused && (focused.getAttribute('href') || focused.textContent);
    part.replaceChildren(...next.childNodes);
    if (mark)
      for (const one of part.querySelectorAll('a, button, summary'))
        if ((one.getAttribute('href') || one.textContent) === mark) { one.focus(); break; }
  }
};

// The end of a job's output.
const follow = async () => {
  const log = document.getElementById('log');
  if (!log) return;
  const job = encodeURIComponent(log.dataset.job);
  let waits = 1000;
  for (;;) {
    await new Promise((done) => setTimeout(done, document.hidden ? 10000 : waits));
    let told;
    try {
      const answer = await fetch(`/api/jobs/${job}/log?offset=${log.dataset.offset}`, {cache: 'no-store'});
      if (answer.status === 404 || answer.status === 401) return;
      if (!answer.ok) { waits = Math.min(waits * 2, 30000); continue; }
      told = await answer.json();
    } catch { waits = Math.min(waits * 2, 30000); continue; }
    if (told.text) {
      const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
      if (log.dataset.offset === '0') log.textContent = '';
      log.append(told.text);
      if (log.textContent.length > 500000) log.textContent = log.textContent.slice(-250000);
      if (atEnd) log.scrollTop = log.scrollHeight;
    }
    // Whoever prints much is asked again at once: the end is what people wait for.
    waits = told.text.length > 16384 ? 100 : told.text ? 1000 : Math.min(waits * 1.5, 5000);
    log.dataset.offset = told.offset;
    if (told.over && !told.text) {
      if (log.dataset.offset === '0') log.textContent = '(nothing)';
      return;
    }
  }
};

// What depends on an earlier answer is shown when it is asked.
const depend = (form) => {
  const holds = (when) => Object.entries(JSON.parse(when)).every(([name, values]) => {
    const field = form.elements[name];
    return !field || values.some((value) => String(value) === (field.type === 'checkbox' ? String(field.checked) : field.value));
  });
  const settle = () => {
    for (const part of form.querySelectorAll('.field[data-when]')) part.hidden = !holds(part.dataset.when);
    for (const option of form.querySelectorAll('option[data-when]')) {
      option.disabled = option.hidden = !holds(option.dataset.when);
      if (option.disabled && option.selected) option.parentElement.selectedIndex = 0;
    }
  };
  form.addEventListener('change', settle);
  settle();
};

// A page that nobody looks at holds no connection: a browser has six for the whole portal.
const listen = () => {
  if (!document.querySelector('[data-live]')) return;
  let source = null;
  let polling = null;
  const stop = () => {
    if (source) source.close();
    source = null;
    clearInterval(polling);
    polling = null;
  };
  const start = () => {
    if (source || document.hidden) return;
    source = new EventSource('/api/events');
    for (const news of ['workspace', 'trouble']) source.addEventListener(news, () => refresh());
    source.onopen = () => { clearInterval(polling); polling = null; };
    // Without it the page asks by itself, less often.
    source.onerror = () => { polling ||= setInterval(refresh, 10000); };
  };
  document.addEventListener('visibilitychange', () => (document.hidden ? stop() : start()));
  addEventListener('pagehide', stop);
  start();
};

localise(document);
const log = document.getElementById('log');
if (log) log.scrollTop = log.scrollHeight;
for (const form of document.querySelectorAll('form.launch')) depend(form);
listen();
follow();
