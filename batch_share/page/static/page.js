"use strict";
// Nothing here is needed: without it every page works by being loaded again.

// After a form, the place to go on reading: what went wrong, else the new step.
const alarm = document.querySelector("[role=alert]");
if (alarm || document.referrer.startsWith(location.origin)) {
  (alarm || document.querySelector("h1")).focus({ preventScroll: !alarm });
}

// One click is enough; what is sent twice all the same is done once.
document.addEventListener("submit", (event) => {
  if (event.target.hasAttribute("hx-post")) return; // it comes back as it is then
  if (event.target.dataset.sent) event.preventDefault();
  event.target.dataset.sent = "1";
});
window.addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload(); // Back: what it showed may be over
});

// Whoever names rows or a person means these: the choice above the field is made with it.
for (const field of document.querySelectorAll(".under input, .under select")) {
  const choice = field.closest(".under").previousElementSibling.querySelector("[type=radio]");
  if (choice) field.addEventListener("input", () => { if (field.value) choice.checked = true; });
}

const live = document.querySelector("[data-live]");
let stream, again;

function follow() {
  clearTimeout(again);
  stream = new EventSource(live.dataset.live);
  const lost = document.getElementById("lost");
  stream.onopen = () => { lost.hidden = true; };
  stream.onerror = () => {
    lost.hidden = false; // it tries again by itself, but after an answer that was no stream
    if (stream.readyState === EventSource.CLOSED) again = setTimeout(follow, 2000);
  };
  stream.onmessage = (event) => htmx.swap("#live", event.data, { swapStyle: "innerHTML" });
  stream.addEventListener("end", () => { stream.close(); location.reload(); });
  stream.addEventListener("closed", () => { stream.close(); document.getElementById("closed").hidden = false; });
}

if (live) {
  follow();
  // A browser has six connections to a server: a hidden tab gives its own back.
  document.addEventListener("visibilitychange", () => {
    clearTimeout(again);
    stream.close();
    if (!document.hidden) follow();
  });
}
