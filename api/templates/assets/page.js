// The page works without this file. With it, the page follows the request: it loads itself again when the step has
// changed (the person may confirm on another device), and shows times in the person's own zone.
"use strict";
(function () {
  const page = document.getElementById("page");
  if (!page) return;

  for (const t of document.querySelectorAll("time[datetime]")) {
    const at = new Date(t.getAttribute("datetime"));
    const zone = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
    t.textContent = t.dataset.date ? at.toLocaleString(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" })
      : at.toLocaleTimeString(document.documentElement.lang, zone);
  }

  const step = page.dataset.step;
  const until = page.dataset.until ? Date.parse(page.dataset.until) : 0;
  const follows = ["wait", "identify", "consent", "confirm", "blocked"].includes(step);
  if (!follows) return;

  // A page of an old link asks no more until somebody looks at it again: each question could make a new link.
  const over = () => until > 0 && Date.now() > until;
  const soon = step === "wait" || step === "blocked";
  let pause = soon ? 1000 : 3000;
  let timer = 0;

  function later() {
    clearTimeout(timer);
    timer = setTimeout(look, pause);
  }

  async function look() {
    if (document.hidden || over()) return;
    try {
      const answer = await fetch(location.pathname, { headers: { Accept: "application/json" }, cache: "no-store" });
      const now = await answer.json();
      if (answer.ok && (now.step !== step || (now.state ?? "") !== page.dataset.state)) {
        location.reload();
        return;
      }
      if (soon) pause = Math.min(pause * 1.2, 5000);
    } catch {
      pause = 5000; // no network for a moment
    }
    later();
  }

  document.addEventListener("visibilitychange", function () {
    if (document.hidden) return;
    if (over()) location.reload();
    else look();
  });
  window.addEventListener("pageshow", function (e) {
    if (e.persisted) location.reload();
  });
  later();
})();
