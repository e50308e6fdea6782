// Counts the time down and goes on once the phone has answered.
"use strict";
const timer = document.getElementById("timer");
let left = Number(timer.dataset.left);
setInterval(() => { if (left > 0) { left -= 1; timer.textContent = left + " s"; } }, 1000);
setInterval(async () => {
  try {
    const answer = await fetch(timer.dataset.state);
    if (answer.ok && (await answer.json()).done) { location.reload(); }
  } catch { /* the next look will tell */ }
}, 1000);
