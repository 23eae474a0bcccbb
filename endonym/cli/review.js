"use strict";
const token = new URLSearchParams(location.search).get("token") || "";
const decided = new Set();
const by = (id) => document.getElementById(id);
let queue = [], at = 0;

const ask = (path, options = {}) => fetch(path, { ...options, headers: { "X-Token": token } });

function show() {
  const item = queue[at];
  by("piece").replaceChildren();
  by("play").hidden = !item || !item.sound;
  if (!item) {
    by("place").textContent = `${decided.size} decided, ${queue.length - decided.size} wait. Close this page, then: endonym ingest`;
    by("why").textContent = "";
    by("text").value = "";
    return;
  }
  by("place").textContent = `${at + 1} of ${queue.length}: ${item.where}`;
  by("why").textContent = item.why;
  const text = by("text");
  text.value = item.now ?? item.text;
  text.lang = item.language;
  text.dir = item.direction;
  const piece = document.createElement(item.sound ? "audio" : "img");
  piece.src = `/piece/${item.id}?token=${encodeURIComponent(token)}`;
  if (item.sound) { piece.controls = true; piece.autoplay = true; } else { piece.alt = "the passage on the page"; }
  by("piece").append(piece);
  text.focus();
}

async function decide(verdict, text) {
  const item = queue[at];
  if (!item) return;
  const answer = await ask("/decide", { method: "POST", body: JSON.stringify({ id: item.id, verdict, text }) });
  if (!answer.ok) { by("why").textContent = (await answer.json()).error; return; }
  item.now = text;
  decided.add(item.id);
  at += 1;
  show();
}

async function back() {
  if (at > 0) at -= 1;
  const item = queue[at];
  if (item && decided.delete(item.id)) {
    await ask("/decide", { method: "POST", body: JSON.stringify({ id: item.id, verdict: "reopen" }) });
  }
  show();
}

function keep() {
  const item = queue[at], text = by("text").value.trim();
  if (item) return text && text !== item.text ? decide("correct", text) : decide("accept", item.text);
}
const reject = () => decide("reject", "");
const next = () => { if (at < queue.length) at += 1; show(); };
const play = () => { const sound = by("piece").querySelector("audio"); if (sound) { sound.paused ? sound.play() : sound.pause(); } };

by("keep").onclick = keep;
by("reject").onclick = reject;
by("next").onclick = next;
by("back").onclick = back;
by("play").onclick = play;
document.addEventListener("keydown", (event) => {
  const key = (event.ctrlKey ? "c" : "") + (event.altKey ? "a" : "") + event.key;
  const deed = { cEnter: keep, cDelete: reject, aArrowRight: next, aArrowLeft: back, "c ": play }[key];
  if (deed) { event.preventDefault(); deed(); }
});
ask("/queue").then(async (answer) => {
  if (!answer.ok) { by("place").textContent = (await answer.json()).error; return; }
  queue = await answer.json();
  show();
});
