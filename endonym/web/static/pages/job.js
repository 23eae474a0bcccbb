// One job as it goes: nine steps with their evidence, curves, speed, samples, log; pause, cancel, go on; the result at the end.
import { useEffect, useRef, useState } from "../vendor/htm-preact.js";
import { call, get, here, home, job as id, useAddress } from "../lib/api.js";
import { change, interval, tone } from "../lib/grades.js";
import { follow } from "../lib/stream.js";
import { Card, Choose, Copy, Facts, Head, Icon, Meter, State, Text, Trouble, Wait, html, useDeed } from "../lib/ui.js";
import { put, bytes, called, duration, moment, number, signed, t, tag } from "../lib/words.js";

const POINTS = 2000, LINES = 500, AT_ONCE = 500, SHOWN = ["log", "sample", "check", "warning", "recovered", "waiting", "state"], OVER = ["succeeded", "failed", "cancelled"];
// What the other facts say already.
const TOLD = ["tokens_per_second", "peak_memory_bytes", "seconds", "report"];
const value = (one) => typeof one === "number" ? number(one, Number.isInteger(one) ? 0 : Math.abs(one) < 1 ? 4 : 2) : Array.isArray(one) ? one.map(value).join(", ") || "–" : typeof one === "boolean" ? t(one ? "frame.yes" : "frame.no") : one && typeof one === "object" ? Object.entries(one).map(([key, inner]) => `${key} ${value(inner)}`).join(", ") || "–" : String(one ?? "–");

// What the events of this job and its children add up to.
const fresh = () => ({ curves: {}, tick: {}, log: [], samples: [], checks: [], warnings: [], steps: [], began: {} });
function take(old, events) {
  const now = { ...old };
  for (const { job, kind, data, id: event, time } of events) {
    if (kind === "metric") {
      const key = `${job}/${data.name}`, points = now.curves[key] ?? [];
      if (!points.length || points[points.length - 1][0] < data.step) points.push([data.step, data.value]);
      now.curves = { ...now.curves, [key]: points };
    } else if (kind === "tick") now.tick = { ...now.tick, [job]: { ...data, time } };
    else if (kind === "log") now.log = [...now.log, { job, text: data.text, event }].slice(-LINES);
    else if (kind === "sample") now.samples = [...now.samples, { ...data, event }].slice(-120);
    else if (kind === "check") now.checks = [...now.checks, data];
    else if (kind === "warning" || kind === "recovered" || kind === "waiting") now.warnings = [...now.warnings, data.text ?? data.sentence ?? data.message ?? value(data)].slice(-8);
    else if (kind === "step") { now.steps = [...now.steps]; now.steps[data.n] = data; }
    else if (kind === "state" && data.state === "running") now.began = { ...now.began, [job]: time };
  }
  return now;
}

// The job's row, its steps, and its events: what there is, then what comes.
function useJob() {
  const [row, setRow] = useState(null), [result, setResult] = useState(null), [steps, setSteps] = useState(null), [seen, set] = useState(fresh), [problem, fail] = useState(null), [mode, setMode] = useState("stream");
  const family = useRef(new Set([Number(id)]));
  const look = async () => {
    try {
      const [now, told] = await Promise.all([get(`${here}/jobs/${id}`), get(`${here}/jobs/${id}/steps`).catch(() => null)]);
      setRow(now);
      if (told?.steps?.length) setSteps(told);
      for (const step of told?.steps ?? []) if (step.job) family.current.add(step.job);
      for (const child of now.children) family.current.add(child);
      if (now.state === "succeeded" && now.verb === "teach") setResult(await get(`${here}/jobs/${id}/files/output/result.json?inline=1`).catch(() => null));
      return now;
    } catch (error) { fail(error); return null; }
  };
  useEffect(() => {
    let stop = () => {}, over = false;
    (async () => {
      if (!(await look())) return;
      const known = new Set(), taken = new Set();
      // What a child said while its events were being fetched comes by the stream as well.
      const once = (events) => events.filter((event) => !taken.has(event.id) && taken.add(event.id));
      let last = 0;
      const load = async (one) => {
        known.add(one);
        const events = [];
        await Promise.all(SHOWN.map(async (kind) => {
          for (let after = 0; ;) {
            const found = await get(`${here}/jobs/${one}/events?kind=${kind}&after=${after}&limit=${AT_ONCE}`).catch(() => ({ events: [] }));
            events.push(...found.events);
            if (found.events.length < AT_ONCE) return;
            after = found.next;
          }
        }));
        events.sort((a, b) => a.id - b.id);
        const told = await get(`${here}/jobs/${one}/metrics?points=${POINTS}`).catch(() => ({ curves: {} }));
        const curves = Object.entries(told.curves).filter(([name]) => /loss/.test(name)).map(([name, { steps: x, values: y }]) => [`${one}/${name}`, x.map((step, i) => [step, y[i]])]);
        const now = await get(`${here}/jobs/${one}`).catch(() => ({}));
        // Of a child that ran before the page was opened, how it stood at last.
        const news = once(events);
        set((old) => { const next = take(old, news); return { ...next, tick: { ...(now.progress && { [one]: now.progress }), ...next.tick }, curves: { ...next.curves, ...Object.fromEntries(curves) } }; });
        last = Math.max(last, ...events.map((event) => event.id));
      };
      await Promise.all([...family.current].map(load));
      if (over) return;
      stop = follow({
        after: last, mode: setMode, jobs: () => [...family.current],
        take: async (batch) => {
          for (const event of batch) if (event.kind === "step" && event.job === Number(id) && event.data.job) family.current.add(event.data.job);
          const own = once(batch.filter((event) => family.current.has(event.job)));
          if (own.length) set((old) => take(old, own));
          if (own.some((event) => event.kind === "state" || event.kind === "step")) await look();
          for (const one of family.current) if (!known.has(one)) await load(one);
        },
      });
    })();
    return () => { over = true; stop(); };
  }, []);
  return { row, steps, result, seen, problem, mode, look };
}

const SIGN = { completed: "check", failed: "cross", skipped: "dash" };
function Steps({ steps }) {
  return html`<ol class="steps">${steps.map((step) => html`<li class=${step.state} key=${step.n} data-step=${step.n} data-state=${step.state} aria-current=${step.state === "active" ? "step" : undefined}>
    <span class="dot" aria-hidden="true">${SIGN[step.state] ? html`<${Icon} name=${SIGN[step.state]} />` : step.n}</span>
    <div><h3>${step.n} · ${called("steps", String(step.n))} <span class="sr">${t(`states.${step.state}`)}</span></h3>${step.sentence && step.state !== "pending" && html`<p class="small" dir="auto">${put(step.said, step.sentence)}</p>`}
      ${step.evidence && Object.keys(step.evidence).length > 0 && html`<details open=${step.state === "failed"}><summary class="small">${t("job.evidence", { n: Object.keys(step.evidence).length })}</summary><dl class="evidence">${Object.entries(step.evidence).map(([key, one]) => html`<div><dt>${called("evidence", key).replaceAll("_", " ")}</dt><dd dir="auto">${value(one)}</dd></div>`)}</dl></details>`}
      ${step.job && html`<a class="small" href=${`${home}/jobs/${step.job}`}>${t("job.child", { n: step.job })}</a>`}</div>
    <span class="n small quiet">${step.seconds ? duration(step.seconds) : ""}</span></li>`)}</ol>`;
}

function Curves({ curves }) {
  const [Plot, set] = useState(null);
  useEffect(() => { import("../lib/plot.js").then((found) => set(() => found.Plot)); }, []);
  const keys = Object.keys(curves).filter((key) => curves[key].length).sort((a, b) => parseInt(a, 10) - parseInt(b, 10) || b.localeCompare(a)), jobs = [...new Set(keys.map((key) => key.split("/")[0]))];
  if (!keys.length) return html`<p class="quiet">${t("job.no_curve")}</p>`;
  const series = keys.map((key) => { const [one, name] = key.split("/"), valid = /valid|eval/.test(name); return { label: `${called("metrics", name)}${jobs.length > 1 ? ` · ${one}` : ""}`, colour: jobs.indexOf(one) + (valid || jobs.length > 1 ? 0 : 1), dashed: !valid, points: curves[key] }; });
  const last = (one) => one.points[one.points.length - 1][1], said = series.map((one) => t("job.curve_said", { name: one.label, from: number(one.points[0][1], 2), to: number(last(one), 2) })).join(". ");
  return Plot ? html`<${Plot} series=${series} x=${t("job.steps")} y=${t("job.loss")} said=${said} /><p class="small quiet">${t("job.curve_text")}</p>` : html`<${Wait} />`;
}

// Answers to the same question as training went on.
function Samples({ samples }) {
  const asked = new Map();
  for (const one of samples) { const key = `${one.task ?? ""} ${one.source}`; asked.set(key, [...(asked.get(key) ?? []), one]); }
  return html`<div class="stack">${[...asked.values()].slice(0, 4).map((list) => { const [one] = list, [from, to] = (one.direction ?? ">").split(">"); return html`<div class="beside"><div class="asked"><p class="tag">${t("job.asked")}</p><${Text} text=${one.source} lang=${from} />${one.reference && html`<p class="small quiet">${t("job.person")} <bdi lang=${tag(to)}>${one.reference}</bdi></p>`}</div>
    ${list.slice(-4).map((each) => html`<div><p class="tag">${t("job.at_step", { n: each.step })}</p><${Text} text=${each.answer || t("frame.nothing")} lang=${to} /></div>`)}</div>`; })}</div>`;
}

function Result({ result, row }) {
  const improvements = Object.entries(result.grades?.improvements ?? {}).filter(([, one]) => one && one.before !== null && one.after !== null), x = result.experience, total = result.grades?.improvements?.total;
  return html`<section class="card party" aria-label=${t("job.done")}><h2>${t(total?.low > 0 ? "job.learned" : "job.done")}</h2><p>${t("job.done_text")} ${total && !(total.low > 0) ? t("job.may_be_chance") : ""}</p>
    ${improvements.length > 0 && html`<div class="scroll" role="region" tabindex="0" aria-label=${t("job.improved")}><table><thead><tr><th scope="col">${t("job.grade")}</th><th scope="col" class="n">${t("job.before")}</th><th scope="col" class="n">${t("job.after")}</th><th scope="col" class="n">${t("job.change")}</th><th scope="col" class="n">${t("compare.interval")}</th></tr></thead><tbody>${improvements.map(([name, one]) => html`<tr><th scope="row">${called("grades", name)}</th><td class="n">${number(one.before, name === "seconds" ? 2 : 1)}</td><td class="n">${number(one.after, name === "seconds" ? 2 : 1)}</td>
      <td class=${`n strong ${tone(name, one)}`}>${change(one)}</td><td class="n small">${interval(one)}</td></tr>`)}</tbody></table></div><p class="small quiet">${t("job.interval_text")}</p>`}
    ${x?.level && html`<p class="small">${t("job.experience", { points: Math.round(x.points), level: x.level })}</p>`}
    <div class="row"><a class="button main" href=${`${home}/compare?b=${result.model?.job ?? ""}`}>${t("nav.compare")}</a><a class="button" href=${`${home}/chat`}>${t("nav.chat")}</a><a class="button" href=${`${home}/rate`}>${t("nav.rate")}</a>${result.report && html`<a class="button" href=${`${home}/report?job=${result.report}`}>${t("nav.report")}</a>`}<a class="button" href=${`${home}/export`}>${t("nav.export")}</a></div></section>`;
}

function Controls({ row, look }) {
  const act = useDeed(async (deed) => { const got = await call("POST", `${here}/jobs/${id}/${deed}`, {}); if (got?.id && got.id !== Number(id)) location.assign(`${home}/jobs/${got.id}`); else await look(); });
  const button = (deed, icon, cls = "") => html`<button class=${cls} disabled=${act.busy} onClick=${() => (deed !== "cancel" || confirm(t("job.cancel_sure"))) && act.run(deed)}><${Icon} name=${icon} />${t(`job.${deed}`)}</button>`;
  return html`<div class="stack tight"><div class="row">${["running", "queued"].includes(row.state) && html`${button("pause", "pause")}${button("cancel", "stop")}`}${["paused", "needs_recovery", "failed", "cancelled"].includes(row.state) && button("resume", "play", "main")}${["paused", "needs_recovery"].includes(row.state) && button("cancel", "stop")}</div><${Trouble} problem=${act.problem} /></div>`;
}

export default function Job() {
  const { row, steps, result, seen, problem, mode, look } = useJob(), [view, show] = useAddress("view", "curves");
  if (problem && !row) return html`<${Trouble} problem=${problem} />`;
  if (!row) return html`<${Wait} />`;
  const list = (steps?.steps ?? []).map((step) => seen.steps[step.n] ?? step), nine = list.length > 0, ticks = Object.entries(seen.tick), running = !OVER.includes(row.state) && row.state !== "paused";
  const active = list.find((step) => step.state === "active"), at = nine ? seen.tick[active?.job] : seen.tick[id], trained = ticks.map(([, tick]) => tick).find((tick) => tick.tokens_per_second) ?? at;
  const done = list.filter((step) => ["completed", "skipped"].includes(step.state)).length;
  const left = at && at.total > at.done && at.done > 0 && running ? (at.seconds_left ?? at.eta_seconds ?? (row.started ? ((Date.now() / 1000 - (seen.began[nine ? active?.job : id] ?? row.started)) / at.done) * (at.total - at.done) : null)) : null;
  const views = [["curves", t("job.curves")], ["samples", t("job.samples")], ["log", t("job.log")]].filter(([name]) => name !== "samples" || seen.samples.length);
  const looked = html`<section class="card stack"><${Choose} label=${t("job.views")} value=${view} change=${show} options=${views} />
      ${view === "log" ? html`<div class="stack tight"><div class="row end"><${Copy} text=${seen.log.map((line) => line.text).join("\n")} /></div><div class="log" role="log" tabindex="0" dir="auto" aria-label=${t("job.log")}>${seen.log.map((line) => html`<div key=${line.event}>${line.text}</div>`)}</div></div>`
      : view === "samples" ? html`<${Samples} samples=${seen.samples} />` : html`<${Curves} curves=${seen.curves} />`}</section>`;
  return html`<div class="stack"><${Head} title=${`${called("verbs", row.verb)}${row.plugin ? ` ${row.plugin}` : ""}`} lead=${html`${t("nav.job", { n: row.id })} · ${moment(row.started ?? row.created)}${row.continues ? html` · <a href=${`${home}/jobs/${row.continues}`}>${t("job.continues", { n: row.continues })}</a>` : ""}${row.parent ? html` · <a href=${`${home}/jobs/${row.parent}`}>${t("job.part_of", { n: row.parent })}</a>` : ""}`}><span role="status"><${State} state=${row.state} /></span><${Controls} row=${row} look=${look} /><//>
    ${mode !== "stream" && running && html`<p class="note warn small" role="status">${t(`job.mode_${mode}`)}</p>`}
    ${row.error?.message && html`<${Trouble} problem=${row.error} />`}
    ${result && row.state === "succeeded" && html`<${Result} result=${result} row=${row} />`}
    ${(nine || at) && row.state !== "succeeded" && html`<div class="stack tight"><${Meter} value=${nine ? done + (active && at?.total ? at.done / at.total : 0) : at.done} most=${nine ? list.length : at.total || 1} label=${t("job.progress")} /><p class="small quiet">${nine ? t("job.steps_done", { done, total: list.length }) : ""}${nine && at ? " · " : ""}${at ? `${number(at.done)} / ${number(at.total)} ${called("units", at.unit)}` : ""}</p></div>`}
    <div class=${nine ? "split even" : "stack"}>
      ${nine && html`<${Card} title=${t("job.nine")}><${Steps} steps=${list} /><//>`}
      <div class="stack"><${Card} title=${t(running ? "job.now" : "job.numbers")}><${Facts} facts=${[[t("job.speed"), trained?.tokens_per_second ? t("job.per_second", { n: Math.round(trained.tokens_per_second) }) : null], [t("job.memory"), trained?.memory_bytes ? bytes(trained.memory_bytes) : row.summary?.peak_memory_bytes ? bytes(row.summary.peak_memory_bytes) : null], [t("job.loss_now"), trained?.loss !== undefined ? number(trained.loss, 3) : null], [t("job.left"), left ? duration(left) : null], [t("job.took"), row.finished && row.started ? duration(row.finished - row.started) : null], ...(nine ? [] : Object.entries(row.summary ?? {}).filter(([key, one]) => ["number", "string"].includes(typeof one) && !TOLD.includes(key)).slice(0, 7).map(([key, one]) => [key.replaceAll("_", " "), value(one)]))]} />
        ${seen.warnings.length > 0 && html`<ul class="stack tight">${seen.warnings.map((text) => html`<li class="note warn small" dir="auto">${text}</li>`)}</ul>`}<//>
        ${nine && looked}${(result?.notes ?? []).length > 0 && html`<${Card} title=${t("train.notes")}><ul class="stack tight">${result.notes.map((note) => html`<li class="note warn small" dir="auto">${note.message ?? note}</li>`)}</ul><//>`}</div></div>
    ${!nine && looked}
    ${seen.checks.length > 0 && html`<${Card} title=${t("job.checks")}><ul class="stack tight">${seen.checks.map((check) => html`<li class="row small"><span class=${check.passed ? "good" : "bad"}><${Icon} name=${check.passed ? "check" : "cross"} /><span class="sr">${t(check.passed ? "states.completed" : "states.failed")}</span></span><span><span dir="auto">${check.name}</span> <span class="quiet">${check.detail}</span></span></li>`)}</ul><//>`}</div>`;
}
