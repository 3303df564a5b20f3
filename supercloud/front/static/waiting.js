// Opens the application as soon as it answers. Until then the page stays as it is, so that it can be read in peace.
'use strict';

const look = async () => {
  try {
    const answer = await fetch(location.href, {method: 'HEAD', redirect: 'manual', cache: 'no-store'});
    if (answer.status !== 503 || !answer.headers.has('Retry-After')) { location.reload(); return; }
  } catch { /* The portal is away for a moment. */ }
  setTimeout(look, 2000);
};
setTimeout(look, 2000);
