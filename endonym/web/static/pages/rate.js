// Rating by people: two answers without names, or one answer with a mark and its errors; keys alone are enough.
import { useEffect, useRef, useState } from "../vendor/htm-preact.js";
import { about, call, here, useAddress, useGet } from "../lib/api.js";
import { systemsOf } from "../lib/systems.js";
import { Card, Choose, Empty, Facts, Got, Head, Icon, Meter, Text, Trouble, Wait, html, useDeed, useKeys } from "../lib/ui.js";
import { Span } from "../lib/plot.js";
import { called, number, percent, t, tag, way } from "../lib/words.js";

const graphemes = new Intl.Segmenter(undefined, { granularity: "word" });
const points = (text) => [...text].length;

function Asked({ item }) {
  const { source: from, target: to } = item.languages;
  return html`<div class="card"><p class="tag">${called("tasks", item.task)}${item.direction && html` · <bdi>${way(item.direction)}</bdi>`}</p><${Text} text=${item.source} lang=${from.code} cls="answer" />${item.reference && html`<details><summary class="small">${t("rate.reference")}</summary><${Text} text=${item.reference} lang=${to.code} /></details>`}</div>`;
}

function Two({ item, keep }) {
  const lang = item.languages.target.code, say = (choice) => keep.busy || keep.run({ id: item.id, choice });
  useKeys({ 1: () => say("left"), 2: () => say("right"), 3: () => say("tie"), a: () => say("left"), b: () => say("right"), t: () => say("tie") });
  return html`<div class="stack"><${Asked} item=${item} /><p class="strong">${t("rate.which")}</p>
    <div class="ab">${[["left", "A"], ["right", "B"]].map(([side, key], i) => html`<div class="card"><div><p class="tag">${key}</p><${Text} text=${item[side].text || t("frame.nothing")} lang=${lang} cls="answer" /></div><button disabled=${keep.busy} onClick=${() => say(side)}>${t("rate.better", { key })} <kbd>${i + 1}</kbd></button></div>`)}</div>
    <div class="row"><button disabled=${keep.busy} onClick=${() => say("tie")}>${t("rate.tie")} <kbd>3</kbd></button></div></div>`;
}

// One answer word by word: arrows walk, Space marks an error, again makes it a grave one.
function Marked({ text, lang, spans, change }) {
  const words = [...graphemes.segment(text)].filter((one) => one.segment.trim()), [at, walk] = useState(0), list = useRef(null);
  let end = 0;
  const pieces = words.map((one) => { const start = points(text.slice(0, one.index)), piece = { gap: text.slice(end, one.index), text: one.segment, start, end: start + points(one.segment) }; end = one.index + one.segment.length; return piece; });
  const grade = (piece) => spans.find((span) => span.start <= piece.start && span.end >= piece.end)?.severity ?? "";
  const turn = (piece) => { const now = grade(piece), rest = spans.filter((span) => !(span.start === piece.start && span.end === piece.end)); change(now === "major" ? rest : [...rest, { start: piece.start, end: piece.end, severity: now ? "major" : "minor" }].sort((a, b) => a.start - b.start)); };
  const go = (to) => { const next = Math.max(0, Math.min(pieces.length - 1, to)); walk(next); list.current.querySelectorAll("[role=button]")[next]?.focus(); };
  const key = (event, piece) => {
    const forward = getComputedStyle(list.current).direction === "rtl" ? "ArrowLeft" : "ArrowRight", back = forward === "ArrowRight" ? "ArrowLeft" : "ArrowRight";
    if (event.key === forward) go(at + 1); else if (event.key === back) go(at - 1); else if (event.key === " " || event.key === "Enter") turn(piece); else return;
    event.preventDefault(); event.stopPropagation();
  };
  return html`<div class="text answer" dir="auto" lang=${tag(lang)} ref=${list} role="group" aria-label=${t("rate.words")}>${pieces.map((piece, i) => { const grave = grade(piece), inside = { role: "button", tabindex: i === at ? 0 : -1, "aria-pressed": String(Boolean(grave)), "aria-label": grave ? `${piece.text}, ${t(`rate.${grave}`)}` : piece.text, onClick: () => { walk(i); turn(piece); }, onKeyDown: (event) => key(event, piece) };
    return html`${piece.gap}${grave ? html`<mark class=${grave} ...${inside}>${piece.text}</mark>` : html`<span ...${inside}>${piece.text}</span>`}`; })}${text.slice(end)}</div>`;
}

function One({ item, keep }) {
  const [score, set] = useState(50), [touched, touch] = useState(false), [spans, mark] = useState([]);
  useEffect(() => { set(50); touch(false); mark([]); }, [item.id]);
  const give = (to) => { touch(true); set(Math.max(0, Math.min(100, to))); };
  const say = () => touched && !keep.busy && keep.run({ id: item.id, score, spans });
  useKeys({ cEnter: say, ...Object.fromEntries([...Array(10).keys()].map((n) => [String(n), () => give(n === 0 ? 100 : n * 10)])), "+": () => give(score + 1), "-": () => give(score - 1) });
  return html`<div class="stack"><${Asked} item=${item} /><div class="card stack tight"><p class="tag">${t("rate.mark_errors")}</p><${Marked} text=${item.text.text} lang=${item.languages.target.code} spans=${spans} change=${mark} /><p class="small quiet">${t("rate.mark_keys")}</p></div>
    <div class="card stack tight"><label class="label" for="score">${t("rate.score")} <output class="accent">${touched ? number(score) : "–"}</output></label><input id="score" type="range" min="0" max="100" value=${score} onInput=${(event) => give(Number(event.target.value))} />
      <div class="row apart small quiet"><span>0 · ${t("rate.worst")}</span><span>${t("rate.best")} · 100</span></div><p class="small quiet">${t("rate.score_keys")}</p></div>
    <div class="row"><button class="main" disabled=${!touched || keep.busy} onClick=${say}>${t("rate.keep")} <kbd>Ctrl Enter</kbd></button></div></div>`;
}

// A system as the list of models calls it.
const calledSystem = (system, list) => list.find((one) => one.system === system)?.label ?? system;

function Pair({ pair, list }) {
  const [first, second] = [pair.first, pair.second].map((system) => calledSystem(system, list));
  return html`<div class="stack tight"><p class="small">${t("rate.share", { system: first })}</p><${Span} label="" value=${100 * pair.share} from=${100 * pair.low} to=${100 * pair.high} low=${0} high=${100} />
    <p class="small">${first} ${number(pair.wins)} · ${second} ${number(pair.losses)} · ${t("rate.ties", { n: pair.ties })}</p><p class="small quiet">${t(pair.p_value < .05 ? "rate.sign_yes" : "rate.sign_no", { p: number(pair.p_value, 3) })}</p></div>`;
}

function Told({ told, list }) {
  const { ab, span, preferences } = told, own = ab.agreement.self, agreed = own.n ? `${percent(own.same / own.n)} (${own.same}/${own.n})` : t("rate.not_yet");
  if (!ab.pairs.length && !span.systems.length) return html`<p class="quiet">${t("rate.no_ratings")}</p>`;
  return html`<div class="stack">${ab.pairs.length > 0 && html`<div class="stack tight"><h3>${t("rate.ab")}</h3>${ab.pairs.map((pair) => html`<${Pair} pair=${pair} list=${list} />`)}</div>`}
    ${span.systems.length > 0 && html`<div class="stack tight"><h3>${t("rate.span")}</h3>${span.systems.map((one, i) => html`<${Span} label=${calledSystem(one.system, list)} value=${one.mean} from=${one.low} to=${one.high} low=${0} high=${100} colour=${one.system === "base" ? 5 : i} /><p class="small quiet">${t("rate.errors", { n: one.n, errors: number((one.spans.minor ?? 0) + (one.spans.major ?? 0)) })}</p>`)}</div>`}
    <${Facts} facts=${[[t("rate.agreement"), agreed], [t("rate.preferences"), number(preferences.ready)]]} />
    ${preferences.ready > 0 ? html`<p><a class="button" href=${`${here}/ratings/preferences.jsonl`} download><${Icon} name="download" />${t("rate.download")}</a></p>` : preferences.sealed > 0 ? html`<p class="small quiet">${t("rate.sealed")}</p>` : null}</div>`;
}

export default function Rate() {
  const [kind, choose] = useAddress("kind", "ab"), asked = ["scores", "grades", "lesson"].some((made) => made in about.artifacts) && "model" in about.artifacts, from = useGet(asked ? `${here}/ratings/next?kind=${kind}` : null), told = useGet(`${here}/ratings`), models = useGet(`${here}/models`);
  const keep = useDeed(async (rating) => { await call("POST", `${here}/ratings`, rating); from.again(); told.again(); });
  const list = models.data ? systemsOf(models.data) : [], nothing = !asked || from.problem?.status === 409;
  return html`<div class="stack"><${Head} title=${t("nav.rate")} lead=${t("rate.lead")} />
    <${Choose} label=${t("rate.kind")} value=${kind} change=${choose} options=${[["ab", t("rate.ab")], ["span", t("rate.span")]]} />
    ${nothing ? html`<${Empty} title=${t("rate.none")} text=${t("rate.none_text")} to="train" action=${t("nav.train")} />` : html`<div class="split"><div class="stack"><${Got} from=${from}>${(item) => !item.id ? html`<${Empty} title=${t("rate.finished")} text=${t("rate.finished_text")} to="compare" action=${t("nav.compare")} />`
      : item.kind !== kind ? html`<${Wait} />` : html`<div class="stack"><div class="stack tight"><p class="small quiet" role="status">${t("rate.left", { done: item.rated, left: Math.max(0, item.total - item.rated) })}</p><${Meter} value=${item.rated} most=${item.total} label=${t("nav.rate")} cls="thin" /></div><${Trouble} problem=${keep.problem} />${kind === "ab" ? html`<${Two} item=${item} keep=${keep} />` : html`<${One} item=${item} keep=${keep} />`}</div>`}<//></div>
      <${Card} title=${t("rate.so_far")}><${Got} from=${told}>${(all) => html`<${Told} told=${all} list=${list} />`}<//><//></div>`}</div>`;
}
