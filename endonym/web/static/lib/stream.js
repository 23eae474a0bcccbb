// Events of a project as they happen: server-sent events that resume where they broke off, polling where they do not come through.
import { here } from "./api.js";

export const KINDS = ["state", "tick", "metric", "log", "sample", "check", "step", "summary", "warning", "waiting", "recovered", "forecast", "rung"];
const PATIENCE = 3;
const EVERY = 2000, AT_ONCE = 500;

// Give batches of events with an id above `after` to `take`, one batch a frame; returns what ends it. `jobs()` names the jobs to poll for.
export function follow({ after = null, take, jobs, mode = () => {} }) {
  let last = after ?? 0, source = null, failures = 0, timer = 0, waiting = [], over = false;

  const flush = () => { timer = 0; const batch = waiting; waiting = []; if (batch.length) take(batch); };
  const add = (event) => {
    if (event.id <= last) return;
    last = event.id;
    waiting.push(event);
    // Hidden pages draw no frames.
    if (!timer) timer = document.hidden ? setTimeout(flush, 250) : requestAnimationFrame(flush);
  };
  const heard = (message) => { failures = 0; add(JSON.parse(message.data)); };

  function open() {
    if (over || source) return;
    source = new EventSource(`${here}/stream${last ? `?after=${last}` : ""}`);
    for (const kind of KINDS) source.addEventListener(kind, heard);
    source.onopen = () => { failures = 0; mode("stream"); };
    source.onerror = () => {
      failures += 1;
      if (source.readyState !== EventSource.CLOSED && failures < PATIENCE) return;
      close();
      mode("poll");
      poll();
    };
  }
  function close() { source?.close(); source = null; }

  async function poll() {
    if (over || source || document.hidden) return;
    try {
      const found = await Promise.all([...new Set(jobs())].map((job) => fetch(`${here}/jobs/${job}/events?after=${last}&limit=${AT_ONCE}`).then((answer) => { if (!answer.ok) throw new Error(answer.status); return answer.json(); })));
      // Of a job with more events than are given at once, the stream brings the rest: no event of another job may go before them.
      const until = Math.min(...found.filter((answer) => answer.events?.length === AT_ONCE).map((answer) => answer.next));
      found.flatMap((answer) => answer.events ?? []).filter((event) => event.id <= until).sort((a, b) => a.id - b.id).forEach(add);
      failures = 0;
      setTimeout(() => document.hidden || open(), EVERY);
    } catch {
      mode("away");
      setTimeout(poll, EVERY);
    }
  }
  // Six connections are all a browser has for one server: a page nobody looks at gives its own back.
  const seen = () => { if (document.hidden) close(); else open(); };
  document.addEventListener("visibilitychange", seen);
  open();
  return () => { over = true; close(); document.removeEventListener("visibilitychange", seen); };
}
