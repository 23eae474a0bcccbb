// The pieces every page is made of.
import { html, useEffect, useRef, useState } from "../vendor/htm-preact.js";
import { home } from "./api.js";
import { number, t, tag } from "./words.js";

export { html };
export const UI = html;

// Text of a person or a model: its own direction, its own language, all of it.
export const Text = ({ text, lang, as = "p", cls = "" }) => html`<${as} class=${`text ${cls}`} dir="auto" lang=${tag(lang)}>${text}</${as}>`;
export const Say = ({ text, lang }) => html`<bdi dir="auto" lang=${tag(lang)}>${text}</bdi>`;

const ICONS = {
  check: "M5 12.5l4.5 4.5L19 7.5", cross: "M6 6l12 12M18 6 6 18", pause: "M8 5v14M16 5v14", play: "M8 5v14l11-7z", stop: "M6 6h12v12H6z",
  plus: "M12 5v14M5 12h14", upload: "M12 16V4M7 9l5-5 5 5M4 17v3h16v-3", download: "M12 4v12M7 11l5 5 5-5M4 20h16", bin: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  left: "M19 12H5M11 6l-6 6 6 6", right: "M5 12h14M13 6l6 6-6 6", copy: "M9 9h11v11H9zM5 15H4V4h11v1", again: "M20 11A8 8 0 1 0 18 17M20 5v6h-6", send: "M4 12l16-8-6 16-3-7z", dash: "M7 12h10",
};
export const Icon = ({ name }) => html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d=${ICONS[name]} /></svg>`;

export function Head({ title, lead, children }) {
  return html`<div class="head"><div><h1>${title}</h1>${lead && html`<p class="lead">${lead}</p>`}</div>${children && html`<div class="row">${children}</div>`}</div>`;
}
export const Card = ({ title, side, children, cls = "" }) => html`<section class=${`card ${cls}`}>
  ${title && html`<div class="row apart"><h2>${title}</h2>${side}</div>`}${children}</section>`;
export const Empty = ({ title, text, to, action, children }) => html`<div class="empty"><h2>${title}</h2><p class="quiet">${text}</p>
  ${to && html`<a class="button main" href=${to.startsWith("/") ? to : `${home}/${to}`}>${action}</a>`}${children}</div>`;
export const Trouble = ({ problem, again }) => problem ? html`<div class="note bad" role="alert"><p class="strong" dir="auto">${problem.message}</p>
  ${problem.hint && html`<p dir="auto">${problem.hint}</p>`}${again && html`<button class="plain" onClick=${again}>${t("frame.again")}</button>`}</div>` : null;
export const Wait = () => html`<p class="wait" role="status">${t("frame.wait")}</p>`;
// What `useGet` has: its data shown by `children(data)`, or that it is waited for, or why there is none.
export function Got({ from, children }) {
  return html`${from.problem && html`<${Trouble} problem=${from.problem} again=${from.again} />`}${from.data !== undefined ? children(from.data) : from.problem ? null : html`<${Wait} />`}`;
}

export const Meter = ({ value, most = 1, label, cls = "" }) => html`<div class=${`meter ${cls}`} role="progressbar" aria-label=${label} aria-valuemin="0" aria-valuemax="100"
  aria-valuenow=${Math.round(100 * Math.min(1, most ? value / most : 0))}><i style=${{ inlineSize: `${100 * Math.min(1, most ? value / most : 0)}%` }}></i></div>`;

const TONE = { succeeded: "good", completed: "good", certified: "good", running: "live", active: "live", failed: "bad", needs_recovery: "warn", paused: "warn" };
export const State = ({ state }) => html`<span class=${`chip ${TONE[state] || ""}`}>${t(`states.${state}`)}</span>`;

let fields = 0;
export function Field({ label, help, problem, children, cls = "" }) {
  const [id] = useState(() => `field${++fields}`);
  return html`<div class=${`field ${cls}`}><label for=${id}>${label}</label>${children(id, problem ? `${id}-why` : help ? `${id}-help` : undefined)}
    ${help && html`<p class="help" id=${`${id}-help`}>${help}</p>`}${problem && html`<p class="small bad" id=${`${id}-why`}>${problem}</p>`}</div>`;
}

export function Table({ head, rows, caption }) {
  return html`<div class="scroll" role="region" tabindex="0" aria-label=${caption}><table><thead><tr>${head.map((name) => {
    const [text, cls] = Array.isArray(name) ? name : [name, ""];
    return html`<th scope="col" class=${cls}>${text || html`<span class="sr">${t("frame.actions")}</span>`}</th>`;
  })}</tr></thead><tbody>${rows}</tbody></table></div>`;
}

export const Facts = ({ facts }) => html`<dl class="facts">${facts.filter(([, value]) => value !== undefined && value !== null && value !== "").map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;

export function Pages({ at, total, size, go }) {
  if (total <= size) return null;
  return html`<nav class="row" aria-label=${t("frame.paging")}><button class="small" disabled=${at <= 0} onClick=${() => go(Math.max(0, at - size))}>${t("frame.before")}</button>
    <span class="small quiet">${t("frame.of", { from: at + 1, to: Math.min(total, at + size), total: number(total) })}</span>
    <button class="small" disabled=${at + size >= total} onClick=${() => go(at + size)}>${t("frame.after")}</button></nav>`;
}

// A choice of one among few, as buttons.
export const Choose = ({ label, value, options, change }) => html`<div class="segmented" role="group" aria-label=${label}>${options.map(([key, text]) => html`
  <button type="button" aria-pressed=${String(key === value)} onClick=${() => change(key)}>${text}</button>`)}</div>`;

export function Copy({ text }) {
  const [done, set] = useState(false);
  return html`<button class="plain" onClick=${() => navigator.clipboard.writeText(text).then(() => { set(true); setTimeout(set, 1500, false); })}>
    <${Icon} name=${done ? "check" : "copy"} /><span role="status">${done ? t("frame.copied") : t("frame.copy")}</span></button>`;
}

// Run `deed` once at a time; {busy, problem, run}.
export function useDeed(deed) {
  const [state, set] = useState({ busy: false, problem: null });
  const run = async (...values) => {
    set({ busy: true, problem: null });
    try { const got = await deed(...values); set({ busy: false, problem: null }); return got; } catch (problem) { set({ busy: false, problem }); return undefined; }
  };
  return { ...state, run, forget: () => set({ busy: false, problem: null }) };
}

// Keys of a page, by `event.key` (with `c` before it for Ctrl or Cmd, `a` for Alt); plain keys are left to fields that are typed in.
export function useKeys(deeds) {
  const now = useRef(deeds);
  now.current = deeds;
  useEffect(() => {
    const heard = (event) => {
      const held = (event.ctrlKey || event.metaKey ? "c" : "") + (event.altKey ? "a" : "");
      const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) && event.target.type !== "range";
      const deed = now.current[held + event.key];
      if (!deed || (typing && !held && event.key !== "Escape") || (event.target.tagName === "BUTTON" && (event.key === "Enter" || event.key === " "))) return;
      event.preventDefault();
      deed();
    };
    document.addEventListener("keydown", heard);
    return () => document.removeEventListener("keydown", heard);
  }, []);
}
