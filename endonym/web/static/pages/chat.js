// Talk and translate: one question to several systems side by side, as they write.
import { useEffect, useRef, useState } from "../vendor/htm-preact.js";
import { Problem, about, call, here, useAddress, useGet } from "../lib/api.js";
import { systemsOf } from "../lib/systems.js";
import { Choose, Empty, Field, Got, Head, Icon, Text, Trouble, Wait, html } from "../lib/ui.js";
import { duration, t, tag, way } from "../lib/words.js";

// Give each event of a server-sent stream to `take(event, data)`.
export async function events(answer, take) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    waiting += value.replaceAll("\r\n", "\n");
    for (let end; (end = waiting.indexOf("\n\n")) >= 0; waiting = waiting.slice(end + 2)) {
      const lines = waiting.slice(0, end).split("\n"), kind = lines.find((line) => line.startsWith("event:"))?.slice(6).trim(), data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5)).join("\n");
      if (kind && data) take(kind, JSON.parse(data));
    }
  }
}

function Answer({ name, said, lang }) {
  return html`<div class="card stack tight" aria-busy=${String(Boolean(said?.writing))}><p class="tag"><bdi>${name}</bdi></p>
    ${said?.problem ? html`<${Trouble} problem=${said.problem} />` : html`<${Text} text=${said?.text.trim() || (said?.writing ? "" : t("frame.nothing"))} lang=${lang} cls=${said?.writing ? "writing" : ""} />`}
    ${said?.done && html`<p class="small quiet">${[said.done.seconds !== undefined ? duration(said.done.seconds) : "", said.done.completion_tokens !== undefined ? t("chat.tokens", { n: said.done.completion_tokens }) : ""].filter(Boolean).join(" · ")}</p>`}
    ${said?.done?.passages?.length > 0 && html`<details><summary class="small">${t("chat.passages", { n: said.done.passages.length })}</summary><ul class="stack tight">${said.done.passages.map((one) => html`<li class="small"><${Text} text=${one.text ?? one} /></li>`)}</ul></details>`}</div>`;
}

// A turn as it was kept, as it was shown when it was new.
const kept = (turn) => ({ ...turn, task: turn.task || "free", answers: Object.fromEntries(Object.entries(turn.answers).map(([system, said]) => [system, said.message ? { text: "", problem: said } : { text: said.text, done: said }])) });

function Talk({ list, conversation, keep, before }) {
  const directions = [`${about.pivot.code}>${about.language.code}`, `${about.language.code}>${about.pivot.code}`];
  const tuned = list.find((one) => one.system !== "base"), [chosen, choose] = useAddress("systems", tuned ? `base,${tuned.system}` : "base"), [task, pick] = useAddress("task", "translate"), [direction, turn] = useAddress("direction", directions[0]), [hints, help] = useAddress("retrieval", "on");
  const [text, type] = useState(""), [turns, set] = useState(before), [busy, wait] = useState(false), stop = useRef(null), end = useRef(null), queue = useRef([]), frame = useRef(0);
  const systems = chosen.split(",").filter((one) => list.some((each) => each.system === one)), name = (system) => list.find((one) => one.system === system)?.label ?? system;
  const change = (system, deed) => set((old) => old.map((one, i) => i === old.length - 1 ? { ...one, answers: { ...one.answers, [system]: deed(one.answers[system] ?? { text: "" }) } } : one));
  const flush = () => { frame.current = 0; const waiting = queue.current; queue.current = []; const said = {}; for (const [system, piece] of waiting) said[system] = (said[system] ?? "") + piece; for (const [system, more] of Object.entries(said)) change(system, (one) => ({ ...one, text: one.text + more })); };
  useEffect(() => { end.current?.scrollIntoView({ block: "nearest" }); }, [turns.length]);
  const ask = async (event) => {
    event?.preventDefault();
    if (!text.trim() || busy) return;
    const asked = { text: text.trim(), task, direction, systems, answers: Object.fromEntries(systems.map((one) => [one, { text: "", writing: true }])) };
    // As much of the talk as leaves room in a small model: what stays the same in front is not read again.
    let room = 1500;
    const before = task === "translate" ? [] : turns.filter((one) => one.task === task).reverse().map((one) => [{ role: "user", content: one.text }, { role: "assistant", content: one.answers[systems[systems.length - 1]]?.text.trim() ?? "" }]);
    const earlier = before.filter((pair) => (room -= new TextEncoder().encode(pair[0].content + pair[1].content).length) >= 0).reverse().flat().filter((one) => one.content);
    set((old) => [...old, asked]); type(""); wait(true);
    stop.current = new AbortController();
    try {
      const into = conversation || (await call("POST", `${here}/conversations`)).id;
      if (!conversation) keep(into);
      const answer = await fetch(`${here}/chat`, { method: "POST", signal: stop.current.signal, headers: { "Content-Type": "application/json" }, body: JSON.stringify({ systems, messages: [...earlier, { role: "user", content: asked.text }], task: task === "free" ? "" : task, direction: task === "translate" ? direction : "", retrieval: hints === "on", max_tokens: 200, temperature: 0, seed: 20, conversation: into }) });
      if (!answer.ok) throw new Problem(answer.status, await answer.json().catch(() => null));
      await events(answer, (kind, data) => {
        if (kind === "token") { queue.current.push([data.system, data.text]); frame.current ||= requestAnimationFrame(flush); }
        if (kind === "done") { flush(); change(data.system, (one) => ({ ...one, writing: false, done: data, text: data.text ?? one.text })); }
        if (kind === "error") change(data.system ?? systems[0], (one) => ({ ...one, writing: false, problem: data }));
      });
    } catch (problem) { if (problem.name !== "AbortError") for (const system of systems) change(system, (one) => one.done ? one : { ...one, writing: false, problem }); }
    flush();
    for (const system of systems) change(system, (one) => ({ ...one, writing: false }));
    wait(false);
  };
  const toggle = (system) => choose((systems.includes(system) ? systems.filter((one) => one !== system) : [...systems, system]).join(",") || system);
  const [from, to] = task === "translate" ? direction.split(">") : ["", ""];
  return html`<div class="stack"><div class="row apart"><fieldset class="row"><legend class="label">${t("chat.systems")}</legend>${list.slice(0, 6).map((one) => html`<button type="button" class="small" aria-pressed=${String(systems.includes(one.system))} onClick=${() => toggle(one.system)}><bdi>${name(one.system)}</bdi></button>`)}</fieldset>
      ${turns.length > 0 && html`<button type="button" disabled=${busy} onClick=${() => { keep(""); set([]); }}><${Icon} name="plus" />${t("chat.new")}</button>`}</div>
    <div class="form"><${Field} label=${t("chat.task")}>${(id) => html`<select id=${id} value=${task} onChange=${(event) => pick(event.target.value)}>${["translate", "free"].map((one) => html`<option value=${one}>${t(`chat.${one}`)}</option>`)}</select>`}<//>
      ${task === "translate" && html`<${Field} label=${t("chat.direction")}>${(id) => html`<select id=${id} value=${direction} onChange=${(event) => turn(event.target.value)}>${directions.map((code) => html`<option value=${code}>${way(code)}</option>`)}</select>`}<//>`}
      <div class="field"><span class="label">${t("chat.retrieval")}</span><label class="check"><input type="checkbox" checked=${hints === "on"} onChange=${(event) => help(event.target.checked ? "on" : "off")} /> ${t("chat.retrieval_on")}</label></div></div>
    <div class="chat" aria-live="polite">${turns.map((one, i) => html`<div class="turn" key=${i}><div class="said"><${Text} text=${one.text} lang=${one.task === "translate" ? one.direction.split(">")[0] : ""} /></div><div class="answers">${one.systems.map((system) => html`<${Answer} key=${system} name=${name(system)} said=${one.answers[system]} lang=${one.task === "translate" ? one.direction.split(">")[1] : ""} />`)}</div></div>`)}<div ref=${end}></div></div>
    ${turns.length === 0 && html`<p class="quiet">${t("chat.begin")}</p>`}
    <form class="card stack tight" onSubmit=${ask}><label class="label" for="ask">${t(task === "translate" ? "chat.text" : "chat.question")}</label><textarea id="ask" rows="3" dir="auto" lang=${tag(from)} value=${text} onInput=${(event) => type(event.target.value)} onKeyDown=${(event) => { if (event.key === "Enter" && !event.shiftKey && !event.isComposing) ask(event); }}></textarea>
      <div class="row apart"><span class="small quiet"><kbd>Enter</kbd> ${t("chat.send")} · <kbd>Shift Enter</kbd> ${t("chat.line")}</span>${busy ? html`<button type="button" onClick=${() => stop.current?.abort()}><${Icon} name="stop" />${t("chat.stop")}</button>` : html`<button class="main" disabled=${!text.trim() || !systems.length}><${Icon} name="send" />${t(task === "translate" ? "chat.do_translate" : "chat.send")}</button>`}</div></form></div>`;
}

export default function Chat() {
  const models = useGet(`${here}/models`), [conversation, keep] = useAddress("c"), [asked] = useState(conversation), old = useGet(asked ? `${here}/conversations/${encodeURIComponent(asked)}` : null);
  const lost = conversation === asked && old.problem;
  return html`<div class="stack"><${Head} title=${t("nav.chat")} lead=${t("chat.lead")} /><${Got} from=${models}>${(told) => html`<div class="stack">${told.models.length === 0 && html`<p class="note">${t("chat.only_base")}</p>`}
    ${lost && html`<${Trouble} problem=${lost} />`}${asked && !old.data && !old.problem ? html`<${Wait} />` : html`<${Talk} list=${systemsOf(told)} conversation=${lost ? "" : conversation} keep=${keep} before=${(old.data?.turns ?? []).map(kept)} />`}</div>`}<//></div>`;
}
