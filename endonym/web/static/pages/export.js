// What can be taken away: files with their certificate, and how to use each.
import { call, here, home, useGet } from "../lib/api.js";
import { Card, Copy, Empty, Facts, Got, Head, Icon, State, Trouble, html, useDeed } from "../lib/ui.js";
import { bytes, called, moment, number, percent, t } from "../lib/words.js";

// Words and blocks of commands of the model card, in their order.
const pieces = (card) => card.split(/^```\w*\n?/m).map((text, i) => ({ text: text.trim(), code: i % 2 === 1 })).filter((piece) => piece.text);

function Certificate({ parity }) {
  if (!parity) return html`<p class="note warn">${t("export.no_certificate")}</p>`;
  const rows = parity.num_rows, said = [[t("export.prompts"), parity.prompt_ids && `${parity.prompt_ids.identical} / ${rows}`], [t("export.greedy"), parity.greedy && `${number(parity.greedy.agree)} / ${number(parity.greedy.positions)}`], [t("export.texts"), parity.text && `${parity.text.identical} / ${rows}`], [t("export.bits"), parity.bits_per_byte && number(parity.bits_per_byte.difference, 6)], [t("export.gap"), parity.max_logit_gap === null || parity.max_logit_gap === undefined ? null : number(parity.max_logit_gap, 6)], [t("export.runtime"), parity.runtime]];
  return html`<div class=${`note ${parity.result === "certified" ? "good" : "bad"} stack tight`}><p class="strong">${t(parity.result === "certified" ? "export.certified" : "export.refused")}</p><${Facts} facts=${said} /></div>`;
}

function One({ one }) {
  return html`<section class="card stack"><div class="row apart"><h2>${called("formats", one.format)}</h2><span class="small quiet"><a href=${`${home}/jobs/${one.job}`}>${t("nav.job", { n: one.job })}</a> · ${moment(one.created)}</span></div><p class="quiet">${called("formats_text", one.format) === one.format ? "" : called("formats_text", one.format)}</p><${Certificate} parity=${one.parity} />
    <div class="split"><div class="stack tight"><h3>${t("export.use")}</h3>${pieces(one.use).map((piece) => piece.code ? html`<div class="stack tight"><pre class="log" tabindex="0" dir="ltr">${piece.text}</pre><div class="row end"><${Copy} text=${piece.text} /></div></div>` : html`<p class="small" dir="auto">${piece.text}</p>`)}</div>
      <div class="stack tight"><h3>${t("export.files")}</h3><ul class="stack tight">${one.files.map((file) => html`<li class="row apart small"><a href=${`${here}/jobs/${one.job}/files/${file.path.split("/").map(encodeURIComponent).join("/")}`} download><bdi>${file.path.replace("output/", "")}</bdi></a><span class="n quiet">${bytes(file.bytes)}</span></li>`)}</ul></div></div></section>`;
}

export default function Export() {
  const from = useGet(`${here}/exports`), models = useGet(`${here}/models`);
  const make = useDeed(async (format) => { const job = await call("POST", `${here}/jobs`, { verb: "export", plugin: format, settings: {} }); location.assign(`${home}/jobs/${job.id}`); });
  return html`<div class="stack"><${Head} title=${t("nav.export")} lead=${t("export.lead")} />
    <${Got} from=${from}>${({ exports: list }) => {
    const trained = (models.data?.models ?? []).length > 0;
    if (!list.length && models.data && !trained) return html`<${Empty} title=${t("export.none")} text=${t("export.none_text")} to="train" action=${t("nav.train")} />`;
    return html`<div class="stack">${list.map((one) => html`<${One} one=${one} key=${one.job} />`)}
      ${trained && html`<${Card} title=${t(list.length ? "export.more" : "export.make")}><p class="quiet">${t("export.make_text")}</p><${Trouble} problem=${make.problem} /><div class="cols">${["adapter", "merged", "gguf"].map((name) => html`<div class="stack tight"><button disabled=${make.busy} onClick=${() => make.run(name)}>${called("formats", name)}</button><p class="small quiet">${called("formats_text", name)}</p></div>`)}</div><//>`}</div>`;
  }}<//></div>`;
}
