// Brings the page up to date every few seconds. Only what has changed is replaced, so that focus, selection, scroll
// position and a screen reader's place stay; a screen reader is told of another state, and of no number.
"use strict";

const INTERVAL_MS = 5000;
const live = document.getElementById("live");
const said = document.createElement("span");
const button = document.createElement("button");
let isPaused = false;
let timer;

function patch(old, fresh) {
  if (old.nodeName !== fresh.nodeName) {
    old.replaceWith(document.importNode(fresh, true));
    return;
  }
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  const before = [...old.childNodes];
  const after = [...fresh.childNodes];
  after.forEach((node, index) => {
    if (index < before.length) patch(before[index], node);
    else old.append(document.importNode(node, true));
  });
  before.slice(after.length).forEach((node) => node.remove());
}

function say(text, isBad) {
  if (said.textContent !== text) said.textContent = text;
  said.className = isBad ? "badge bad" : "";
}

async function refresh() {
  try {
    const answer = await fetch(location.href, { signal: AbortSignal.timeout(INTERVAL_MS) });
    if (!answer.ok) throw new Error(`the answer is ${answer.status}`);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const main = document.querySelector("main");
    const before = main.dataset.summary;
    patch(main, fresh.querySelector("main"));
    document.title = fresh.title;
    const now = main.dataset.summary;
    if (now !== before) say(`Changed. ${now}`, false);
    else if (said.className) say(`Back. ${now}`, false);
  } catch (error) {
    document.title = "No answer – ringback";
    say(`No answer from ringback: what you see is old (${error.message})`, true);
  }
}

async function run() {
  clearTimeout(timer);
  if (isPaused) return;
  if (!document.hidden) await refresh();
  clearTimeout(timer);
  timer = setTimeout(run, INTERVAL_MS);
}

said.setAttribute("role", "status");
said.textContent = "Up to date every 5 seconds";
button.type = "button";
button.textContent = "Pause";
button.addEventListener("click", () => {
  isPaused = !isPaused;
  button.textContent = isPaused ? "Go on" : "Pause";
  run();
});
document.addEventListener("visibilitychange", run);
live.append(said, " ", button);
timer = setTimeout(run, INTERVAL_MS);
