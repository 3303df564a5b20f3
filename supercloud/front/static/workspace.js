// Live updates: whatever in a page shows the workspace listens for "workspace" on the document.
'use strict';

(() => {
  const place = document.getElementById('live');
  if (!place) return;
  let source = null;

  const say = (text) => {
    place.textContent = text;
    place.toggleAttribute('data-trouble', text !== '');
  };

  const listen = () => {
    source = new EventSource('/api/events');
    source.addEventListener('workspace', (event) => {
      say('');
      document.dispatchEvent(new CustomEvent('workspace', {detail: JSON.parse(event.data)}));
    });
    source.addEventListener('trouble', (event) => say(JSON.parse(event.data).message));
    source.addEventListener('error', () => {
      const isOver = source && source.readyState === EventSource.CLOSED;
      if (isOver) say('You are signed out, or the portal is busy. Load this page again.');
    });
  };

  // A browser opens six connections to an origin, all of its tabs together: those that nobody looks at hold none.
  const look = () => {
    if (document.hidden && source) {
      source.close();
      source = null;
    } else if (!document.hidden && !source) {
      listen();
    }
  };

  document.addEventListener('visibilitychange', look);
  look();
})();
