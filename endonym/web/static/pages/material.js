// What went in: files and what each is, their rights, samples, and the ledger of what was left out and why.
import { useRef, useState } from "../vendor/htm-preact.js";
import { call, here, home, query, useAddress, useGet } from "../lib/api.js";
import { Card, Choose, Empty, Field, Got, Head, Icon, Pages, Table, Text, Trouble, html, useDeed } from "../lib/ui.js";
import { bytes, called, number, t } from "../lib/words.js";

const SIZE = 20;

// The texts of a record, each with its language.
const texts = (record) => ({
  pair: () => [[record.source, record.source_language], [record.target, record.target_language]],
  doc: () => [[record.text, record.language]],
  entry: () => [[record.headword, record.language], [(record.senses ?? []).map((sense) => sense.definition ?? sense).join("; "), record.pivot]],
  chat: () => (record.messages ?? []).map((message) => [message.content, ""]),
})[record?.kind]?.() ?? [[record?.text ?? JSON.stringify(record), record?.language]];
const Record = ({ record }) => texts(record).map(([text, lang], i) => html`<td key=${i}><${Text} as="div" text=${text} lang=${lang} /></td>`);

const size = (set) => Object.values(set.splits).reduce((a, b) => a + b, 0);

const TEXTS = ["licence", "attribution", "consent"];
const NONE = { licence: "", attribution: "", consent: "", restrictions: [] };
// A restriction in the reader's language, else as restrictions.toml says it.
const asks = (name, known) => { const said = called("material.restriction", name); return said === name ? known.find((one) => one.name === name)?.says ?? name : said; };

function RightsFields({ rights, change, known }) {
  const turn = (name, on) => change({ ...rights, restrictions: on ? [...rights.restrictions, name] : rights.restrictions.filter((one) => one !== name) });
  return html`<div class="form">${TEXTS.map((name) => html`
    <${Field} label=${t(`material.${name}`)} help=${t(`material.${name}_help`)}>${(id, about) => html`<input id=${id} aria-describedby=${about} dir="auto" maxlength="1000" value=${rights[name]} onInput=${(event) => change({ ...rights, [name]: event.target.value })} />`}<//>`)}</div>
    <fieldset class="field"><legend class="label">${t("material.restrictions")}</legend>${known.map((one) => html`<label class="check" key=${one.name}><input type="checkbox" checked=${rights.restrictions.includes(one.name)} onChange=${(event) => turn(one.name, event.target.checked)} /> <span dir="auto">${asks(one.name, known)}</span></label>`)}</fieldset>`;
}

// What holds for the files that are sent next.
const Rights = ({ rights, change, known }) => html`<details class="card"><summary>${t("material.rights")}</summary><p class="small quiet">${t("material.rights_text")}</p><${RightsFields} rights=${rights} change=${change} known=${known} /></details>`;

// The rights of one source, to be changed.
function Restate({ source, known, done, again }) {
  const [rights, change] = useState(Object.fromEntries(Object.keys(NONE).map((name) => [name, source[name] ?? NONE[name]])));
  const keep = useDeed(async () => { await call("PATCH", `${here}/files/${source.files[0].id}`, rights); again(); done(); });
  return html`<form class="stack tight" onSubmit=${(event) => { event.preventDefault(); keep.run(); }}><${RightsFields} rights=${rights} change=${change} known=${known} /><${Trouble} problem=${keep.problem} />
    <div class="row"><button class="main" disabled=${keep.busy}>${t("frame.keep")}</button><button type="button" onClick=${done}>${t("frame.cancel")}</button></div></form>`;
}

const trouble = (problem) => ({ message: [problem.file && `${problem.file.split("/").pop()}${problem.line ? `:${problem.line}` : ""}`, problem.what].filter(Boolean).join(": "), hint: problem.repair });
const counted = (records) => Object.entries(records ?? {}).map(([kind, n]) => t("material.of_kind", { kind: called("records", kind), n: number(n) })).join(", ");

function Source({ source, remove, known, again }) {
  const [editing, edit] = useState(false);
  return html`<section class="card stack tight"><div class="row apart"><h2 class="h3" dir="auto">${source.files.map((file) => file.name).join(", ")}</h2><span class="row"><span class="small quiet n">${bytes(source.files.reduce((sum, file) => sum + (file.bytes ?? 0), 0))}</span>
    <button class="plain" aria-expanded=${String(editing)} onClick=${() => edit(!editing)}>${t("material.edit_rights")}</button>
    ${remove && html`<button class="plain" onClick=${() => confirm(t("material.remove_sure", { name: source.files.map((file) => file.name).join(", ") })) && remove(source)}><${Icon} name="bin" />${t("material.remove")}</button>`}</span></div>
    <p class="small row">${source.reader ? html`<span class="chip">${called("readers", source.reader)}</span>` : ""}${counted(source.records) && html`<span>${counted(source.records)}</span>`}${source.languages?.length ? html`<bdi>${source.languages.map((one) => one.name || one.language).filter(Boolean).join(", ")}</bdi>` : ""}${source.good_for ? html`<span class="quiet" dir="auto">${source.good_for}</span>` : ""}</p>
    <p class="small">${source.licence ? html`<bdi>${source.licence}</bdi>` : html`<span class="warn">${t("material.no_licence")}</span>`}${source.attribution ? html` · <bdi class="quiet">${source.attribution}</bdi>` : ""}${source.consent ? html` · <bdi class="quiet">${source.consent}</bdi>` : ""}</p>
    ${(source.restrictions ?? []).length > 0 && html`<p class="small warn">${source.restrictions.map((name) => asks(name, known)).join(" · ")}</p>`}
    ${editing && html`<${Restate} source=${source} known=${known} done=${() => edit(false)} again=${again} />`}
    ${(source.notes ?? []).map((note) => html`<p class="note small" dir="auto">${note}</p>`)}${(source.problems ?? []).map((problem) => html`<${Trouble} problem=${trouble(problem)} />`)}</section>`;
}

function Files({ list }) {
  const [over, setOver] = useState(false), [progress, setProgress] = useState(""), [rights, change] = useState(NONE), [refused, refuse] = useState([]), [told, tell] = useState(""), input = useRef(null);
  const send = useDeed(async (files) => {
    const form = new FormData();
    for (const [name, said] of Object.entries({ ...rights, restrictions: rights.restrictions.join(",") })) if (said.trim()) form.append(name, said.trim());
    for (const file of files) form.append("files", file);
    setProgress(t("material.reading", { n: files.length }));
    try { const answer = await call("POST", `${here}/files`, form); refuse(answer.sources.filter((one) => !one.added)); } finally { setProgress(""); input.current.value = ""; }
    list.again();
  });
  const remove = useDeed(async (source) => { const answer = await call("DELETE", `${here}/files/${source.files[0].id}`); tell(answer.models?.length ? t("material.learned_from", { models: answer.models.map((one) => one.job ?? one).join(", ") }) : ""); list.again(); });
  const prepare = useDeed(async () => { const job = await call("POST", `${here}/jobs`, { verb: "ingest", settings: {} }); location.assign(`${home}/jobs/${job.id}`); });
  return html`<div class="stack"><${Rights} rights=${rights} change=${change} known=${list.data?.restrictions ?? []} /><div class=${`drop ${over ? "over" : ""}`} onDragOver=${(event) => { event.preventDefault(); setOver(true); }} onDragLeave=${() => setOver(false)}
      onDrop=${(event) => { event.preventDefault(); setOver(false); if (event.dataTransfer.files.length) send.run([...event.dataTransfer.files]); }}>
      <p class="strong">${t("material.drop")}</p><p class="small quiet">${t("material.drop_text")}</p>
      <input type="file" multiple hidden id="files" ref=${input} onChange=${(event) => event.target.files.length && send.run([...event.target.files])} />
      <button class="main" disabled=${send.busy} onClick=${() => input.current.click()}><${Icon} name="upload" />${t("material.choose")}</button><p role="status" class="small">${progress}</p></div>
    <${Trouble} problem=${send.problem ?? remove.problem ?? prepare.problem} />${told && html`<p class="note warn" role="status">${told}</p>`}${refused.map((one) => html`<div class="stack tight"><p class="strong" dir="auto">${t("material.refused", { name: one.files.map((file) => file.name).join(", ") })}</p>${one.problems.map((problem) => html`<${Trouble} problem=${trouble(problem)} />`)}</div>`)}
    <${Got} from=${list}>${({ sources, restrictions }) => sources.length === 0 ? html`<p class="quiet">${t("material.no_files")}</p>` : html`<div class="stack">
      ${sources.map((source) => html`<${Source} key=${source.files[0].id} source=${source} remove=${(one) => remove.run(one)} known=${restrictions} again=${list.again} />`)}
      <div class="row"><button class="main" disabled=${prepare.busy} onClick=${() => prepare.run()}>${t("material.prepare")}</button><span class="small quiet">${t("material.prepare_text")}</span></div></div>`}<//></div>`;
}

function Browse({ set, kind }) {
  const [offset, go] = useAddress(`${kind}_at`, "0"), [split, setSplit] = useAddress("split"), [reason, setReason] = useAddress("reason"), [words, setWords] = useAddress("query");
  const at = Number(offset), splits = Object.keys(set.splits ?? {}).filter((name) => name !== "test" && name !== "records");
  const searching = Boolean(kind === "records" ? words : reason);
  const from = useGet(`${here}/datasets/${set.job}/${kind}${query({ offset: at, limit: SIZE, ...(kind === "records" ? { split: split || splits[0] || "", query: words } : { reason }) })}`);
  return html`<div class="stack tight"><div class="form">${kind === "records" ? html`${splits.length > 1 && html`<${Field} label=${t("material.split")}>${(id) => html`<select id=${id} value=${split || splits[0]} onChange=${(event) => { go("0"); setSplit(event.target.value); }}>${splits.map((name) => html`<option value=${name}>${called("splits", name)}</option>`)}</select>`}<//>`}
    <${Field} label=${t("material.search")}>${(id) => html`<input id=${id} type="search" dir="auto" value=${words} onChange=${(event) => { go("0"); setWords(event.target.value); }} />`}<//>`
    : html`<${Field} label=${t("material.reason")}>${(id) => html`<select id=${id} value=${reason} onChange=${(event) => { go("0"); setReason(event.target.value); }}><option value="">${t("material.every_reason")}</option>${Object.entries(set.dropped ?? {}).map(([name, n]) => html`<option value=${name}>${called("reasons", name)} (${number(n)})</option>`)}</select>`}<//>`}</div>
    <${Got} from=${from}>${(data) => (data.records ?? data.dropped).length === 0 ? html`<p class="quiet">${t(kind === "records" ? "material.no_records" : "material.nothing_left_out")}</p>` : html`<div class="stack tight">
      <${Table} caption=${t(`material.${kind}`)} head=${kind === "records" ? [t("material.text"), ""] : [t("material.reason"), t("material.text"), ""]}
        rows=${(data.records ?? data.dropped).map((one) => kind === "records" ? html`<tr><${Record} record=${one} /></tr>` : html`<tr><td><strong>${called("reasons", one.reason)}</strong><br /><span class="small quiet" dir="auto">${one.detail}</span><br /><code class="small quiet">${one.record?.origin}</code></td>${one.record ? html`<${Record} record=${one.record} />` : html`<td class="quiet small">${t("material.sealed")}</td>`}</tr>`)} />
      ${searching ? html`<${More} before=${at > 0} next=${data.next} go=${go} />` : html`<${Pages} at=${at} total=${data.total} size=${SIZE} go=${(to) => go(String(to))} />`}</div>`}<//></div>`;
}

// A search goes on from where it stopped; how much it finds in all is not known before.
const More = ({ before, next, go }) => html`<div class="row">${before && html`<button class="small" onClick=${() => go("0")}>${t("frame.first")}</button>`}${next !== null && html`<button class="small" onClick=${() => go(String(next))}>${t("frame.after")}</button>`}</div>`;

// Where every record went: bars from what was read to what is learned from.
function Flow({ sets }) {
  const most = Math.max(...sets.map(size), 1);
  return html`<div class="bars">${sets.map((set) => html`<div><span>${called("kinds", set.kind)}</span><div class="meter" aria-hidden="true"><i style=${{ inlineSize: `${100 * size(set) / most}%` }}></i></div><span class="n">${number(size(set))}</span></div>`)}</div>`;
}

function Sets({ kind }) {
  const from = useGet(`${here}/datasets`), [wanted, want] = useAddress("dataset");
  return html`<${Got} from=${from}>${({ datasets }) => {
    if (!datasets.length) return html`<${Empty} title=${t("material.not_read")} text=${t("material.not_read_text")} />`;
    const left = (set) => Object.values(set.dropped ?? {}).reduce((a, b) => a + b, 0);
    const chosen = datasets.find((set) => String(set.job) === wanted) ?? (kind === "ledger" ? [...datasets].sort((a, b) => left(b) - left(a))[0] : datasets.find((set) => set.kind === "split")) ?? datasets[0];
    const newest = [...new Map([...datasets].reverse().map((set) => [set.kind, set])).values()];
    return html`<div class="stack"><${Card} title=${t("material.flow")}><${Flow} sets=${newest} /><//>
      <${Card} title=${t(kind === "records" ? "material.samples" : "material.left_out")} side=${html`<label class="row small"><span>${t("material.from_step")}</span><select value=${String(chosen.job)} onChange=${(event) => want(event.target.value)}>${datasets.map((set) => html`<option value=${String(set.job)}>${called("kinds", set.kind)} (${number(kind === "ledger" ? left(set) : size(set))})</option>`)}</select></label>`}>
        ${kind === "ledger" && html`<p class="small quiet">${t("material.ledger_text")}</p>`}<${Browse} set=${chosen} kind=${kind} key=${chosen.job + kind} /><//></div>`;
  }}<//>`;
}

export default function Material() {
  const [view, show] = useAddress("view", "files"), list = useGet(`${here}/files`);
  return html`<div class="stack"><${Head} title=${t("nav.material")} lead=${t("material.lead")} />
    <${Choose} label=${t("nav.material")} value=${view} change=${show} options=${["files", "records", "ledger"].map((name) => [name, t(`material.view_${name}`)])} />
    ${view === "files" ? html`<${Files} list=${list} />` : html`<${Sets} kind=${view} key=${view} />`}</div>`;
}
