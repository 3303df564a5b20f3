// Live updates: whatever in a page shows the workspace listens for "workspace" on the document.
'use strict';

(() => {
  const place = document.getElementById('live');
  if (!place) return;

  const say = (text) => {
    place.textContent = text;
    place.toggleAttribute('data-trouble', text !== '');
  };

  const source = new EventSource('/api/events');
  source.addEventListener('workspace', (event) => {
    say('');
    document.dispatchEvent(new CustomEvent('workspace', {detail: JSON.parse(event.data)}));
  });
  source.addEventListener('trouble', (event) => say(JSON.parse(event.data).message));
  source.addEventListener('error', () => {
    if (source.readyState === EventSource.CLOSED) say('You are signed out, or the portal is busy. Load this page again.');
  });
})();
