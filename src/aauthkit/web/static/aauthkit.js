"use strict";
/* Everything works without this file. It tells the server that a page is in front of somebody, keeps what waits up to
   date, and copies. */
(() => {
  const BEAT = 5000; // milliseconds between two signs of life
  const LOOK = 3000; // milliseconds between two looks at what waits

  document.documentElement.classList.add("js");
  const seen = () => document.visibilityState === "visible";

  // A page that comes back from the browser's memory may show what was decided since.
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

  const { alive, field, token } = document.body.dataset;
  let ended = false;
  const beat = async () => {
    if (ended || !seen()) return;
    try {
      const answer = await fetch(alive, {
        method: "POST",
        body: new URLSearchParams({ [field]: token }),
        redirect: "error",
      });
      ended = answer.status === 403 || answer.status === 404;
    } catch { /* out of reach: the next beat tries again */ }
  };
  if (alive) {
    beat();
    setInterval(beat, BEAT);
    document.addEventListener("visibilitychange", beat);
  }

  const typingIn = (region) =>
    region.contains(document.activeElement) && document.activeElement.matches("input, textarea, select");
  let looking = false;
  const look = async () => {
    if (looking || !seen()) return;
    looking = true;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      if (answer.redirected) { location.assign(answer.url); return; }
      if (answer.status >= 500) return;
      if (!answer.ok) { location.reload(); return; }
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const region of document.querySelectorAll("[data-live]")) {
        const fresh = page.getElementById(region.id);
        if (!fresh) { location.reload(); return; }
        if (fresh.innerHTML !== region.dataset.shown && !typingIn(region)) {
          region.dataset.shown = fresh.innerHTML;
          region.replaceChildren(...document.importNode(fresh, true).childNodes);
        }
      }
      document.title = page.title;
    } catch { /* out of reach: the next look tries again */ } finally { looking = false; }
  };
  const regions = document.querySelectorAll("[data-live]");
  if (regions.length) {
    for (const region of regions) region.dataset.shown = region.innerHTML;
    setInterval(look, LOOK);
    document.addEventListener("visibilitychange", look);
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    const source = button && document.getElementById(button.dataset.copy);
    if (!source) return;
    const label = button.textContent;
    try {
      await navigator.clipboard.writeText(source.textContent.trim());
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not copied";
    }
    setTimeout(() => { button.textContent = label; }, 2000);
  });
})();
