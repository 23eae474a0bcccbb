// How the base model reads the language: the bill in tokens and the verdict.
import { call, here, home, useGet } from "../lib/api.js";
import { Base } from "../lib/base.js";
import { Card, Empty, Facts, Got, Head, Say, Trouble, html, useDeed } from "../lib/ui.js";
import { languageName, number, percent, t } from "../lib/words.js";

const TONE = { fine: "good", slower: "warn", extend: "bad" };

function Bill({ target, pivot }) {
  const rows = [["tokens_per_word", 2], ["tokens_per_text", 1], ["bytes_per_token", 2]], most = (key) => Math.max(target[key], pivot?.[key] ?? 0);
  return html`<div class="stack">${rows.map(([key, digits]) => html`<div><h3>${t(`tokenizer.${key}`)}</h3><div class="bars">${[[target, 0], [pivot, 1]].filter(([side]) => side).map(([side, i]) => html`<div><span><bdi>${side.name ?? side.language}</bdi></span>
    <div class=${`meter ${i ? "other" : ""}`} aria-hidden="true"><i style=${{ inlineSize: `${100 * side[key] / most(key)}%` }}></i></div><span class="n strong">${number(side[key], digits)}</span></div>`)}</div></div>`)}</div>`;
}

export default function Tokenizer() {
  const from = useGet(`${here}/tokenizer`), about = useGet(here), models = useGet(`${here}/models`), start = useDeed(async () => { const job = await call("POST", `${here}/jobs`, { verb: "tokenizer", plugin: "report", settings: {} }); location.assign(`${home}/jobs/${job.id}`); });
  return html`<div class="stack"><${Head} title=${t("nav.tokenizer")} lead=${t("tokenizer.lead")} /><${Trouble} problem=${start.problem} />
    ${about.data && models.data && !models.data.base.here && html`<${Base} base=${about.data.base} changed=${() => { about.again(); models.again(); }} />`}
    <${Got} from=${from}>${({ report: k }) => {
    if (!k?.target) return html`<${Empty} title=${t("tokenizer.none")} text=${t("tokenizer.none_text")}><button class="main" disabled=${start.busy} onClick=${() => start.run()}>${t("tokenizer.measure")}</button><//>`;
    const named = (side) => side && { ...side, name: languageName(side.language) };
    return html`<div class="split"><div class="stack">
        <div class=${`note ${TONE[k.verdict] ?? ""}`}><p class="strong">${t(`tokenizer.verdict.${k.verdict}`)}</p>${k.cost_factor === null || html`<p>${t(k.parallel ? "tokenizer.factor" : "tokenizer.factor_a_character", { factor: number(k.cost_factor, 2), language: languageName(k.target.language), pivot: languageName(k.pivot.language) })}</p>`}</div>
        <${Card} title=${t("tokenizer.bill")}><${Bill} target=${named(k.target)} pivot=${named(k.pivot.texts ? k.pivot : null)} /><//>
        ${k.dearest_words?.length > 0 && html`<${Card} title=${t("tokenizer.dearest")}><p class="small quiet">${t("tokenizer.dearest_text")}</p><div class="stack tight">${k.dearest_words.map(([word, pieces]) => html`<div class="row"><strong style=${{ minInlineSize: "8rem" }}><${Say} text=${word} lang=${k.target.language} /></strong><span class="pieces" dir="auto">${pieces.map((piece) => html`<i>${piece}</i>`)}</span></div>`)}</div><//>`}</div>
      <div class="stack"><${Card} title=${t("tokenizer.facts")}><${Facts} facts=${[[t("tokenizer.covered"), percent(k.target.covered, 2)], [t("tokenizer.broken"), percent(k.target.fragment_rate, 2)], [t("tokenizer.vocabulary"), number(k.vocabulary)], [t("tokenizer.texts"), number(k.target.texts)], [t("overview.base"), k.base]]} />
        ${k.target.uncovered?.length > 0 && html`<p class="small quiet">${t("tokenizer.uncovered")} ${k.target.uncovered.map(([sign, n]) => html`<bdi><strong>${sign}</strong> ×${number(n)}</bdi> `)}</p>`}<//>
        <${Card} title=${t("tokenizer.what_now")}><p>${t(`tokenizer.now.${k.verdict}`)}</p><p class="small quiet">${t("tokenizer.thresholds", { fine: number(k.thresholds?.fine_below, 1), extend: number(k.thresholds?.extend_above, 1) })}</p><details><summary class="small">${t("tokenizer.signature")}</summary><code class="small">${k.signature}</code></details><button onClick=${() => start.run()} disabled=${start.busy}>${t("tokenizer.measure_again")}</button><//></div></div>`;
  }}<//></div>`;
}
