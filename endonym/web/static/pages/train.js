// Start a training: the form of the recipe's own settings, presets, and what it will need, told while typing.
import { useEffect, useMemo, useState } from "../vendor/htm-preact.js";
import { call, here, home, root, useAddress, useGet } from "../lib/api.js";
import { Base } from "../lib/base.js";
import { Card, Choose, Empty, Facts, Field, Got, Head, Icon, Meter, Trouble, html, useDeed } from "../lib/ui.js";
import { bytes, called, duration, number, t } from "../lib/words.js";

const PAUSE = 350;
// The usual ways last, so that what is not named here comes after them.
const ORDER = ["full", "qlora", "lora", "teach"];
const FIRST = ["epochs", "steps", "maxRows", "rank", "learningRate", "learning_rate", "batchSize", "batch_size", "maxLength", "max_length", "languageQuestions", "exports"];

// What a JSON schema says of one setting: its kind, its choices, its limits.
function described(property, definitions) {
  const parts = property.anyOf ?? property.oneOf ?? [property], real = parts.filter((part) => part.type !== "null");
  const inner = real.map((part) => (part.$ref ? definitions[part.$ref.split("/").pop()] ?? part : part));
  const one = inner[0] ?? property, number = inner.find((part) => ["integer", "number"].includes(part.type));
  const words = inner.flatMap((part) => part.enum ?? (part.const !== undefined ? [part.const] : []));
  const choices = words.length && inner.some((part) => part.type === "boolean") ? [...words, true, false] : words.length ? words : (/^\^\(([\w|]+)\)\$$/.exec(one.pattern ?? property.pattern ?? "")?.[1].split("|"));
  const several = one.type === "array" && (one.items?.enum ?? (one.items?.$ref && definitions[one.items.$ref.split("/").pop()]?.enum));
  const kind = several ? "set" : choices ? "choice" : number && !inner.some((part) => part.type === "string") ? number.type : one.type === "boolean" ? "boolean" : one.type === "array" ? "list" : one.type === "object" ? "object" : "string";
  return { kind, choices: several || choices, least: number?.minimum ?? number?.exclusiveMinimum, most: number?.maximum ?? number?.exclusiveMaximum, optional: parts.length !== real.length };
}

// What was typed as the JSON the schema wants; undefined where it is empty.
function parsed(text, about) {
  if (about.kind === "boolean") return text;
  const said = String(text).trim();
  if (said === "") return about.kind === "set" ? [] : undefined;
  if (about.kind === "list" || about.kind === "set") return said.split(",").map((part) => part.trim()).filter(Boolean);
  if (about.kind === "integer" || about.kind === "number") return Number(said.replace(",", "."));
  return about.choices ? about.choices.find((one) => String(one) === said) ?? said : said;
}
const shown = (value) => value === null || value === undefined ? "" : Array.isArray(value) ? value.join(", ") : typeof value === "number" && Math.abs(value) < 1e-3 && value ? value.toExponential().replace("e-0", "e-") : String(value);

function Setting({ name, property, about, value, change, problem }) {
  const label = called("settings", name) === name ? property.title ?? name : called("settings", name);
  if (about.kind === "boolean") return html`<div class="field"><label class="check"><input type="checkbox" checked=${Boolean(value)} onChange=${(event) => change(event.target.checked)} /> <span class="label">${label}</span></label><p class="help">${property.description}</p></div>`;
  if (about.kind === "set") { const chosen = String(value).split(",").map((one) => one.trim()).filter(Boolean); return html`<fieldset class="field"><legend>${label}</legend>${about.choices.map((one) => html`<label class="check"><input type="checkbox" checked=${chosen.includes(one)} onChange=${() => change(about.choices.filter((each) => chosen.includes(each) !== (each === one)).join(", "))} /> ${called("formats", one)}</label>`)}<p class="help">${property.description}</p></fieldset>`; }
  return html`<${Field} label=${label} help=${property.description} problem=${problem}>${(id, told) => about.kind === "choice"
    ? html`<select id=${id} name=${name} aria-describedby=${told} value=${String(value)} onChange=${(event) => change(event.target.value)}>${about.optional && html`<option value="">${t("train.auto")}</option>`}${about.choices.map((one) => html`<option value=${String(one)}>${called("choices", String(one))}</option>`)}</select>`
    : html`<input id=${id} name=${name} aria-describedby=${told} aria-invalid=${problem ? "true" : undefined} inputmode=${about.kind === "integer" ? "numeric" : about.kind === "number" ? "decimal" : undefined} dir="auto" autocomplete="off" placeholder=${about.optional ? t("train.auto") : ""} value=${value} onInput=${(event) => change(event.target.value)} />`}<//>`;
}

function Forecast({ state, busy }) {
  if (state?.problem) return html`<${Card} title=${t("train.forecast")}><${Trouble} problem=${state.problem} /><//>`;
  const e = state?.data;
  const told = e && html`<${Facts} facts=${[[t("train.memory"), bytes(e.memory_bytes)], [t("train.time"), duration(e.seconds)], [t("train.disk"), bytes(e.disk_bytes)]]} />
    ${e.free_bytes && e.memory_bytes !== null && html`<div class="stack tight"><${Meter} value=${e.memory_bytes} most=${e.free_bytes} label=${t("train.memory")} /><p class="small quiet">${t("train.of_memory", { size: bytes(e.free_bytes) })}</p></div>`}
    ${e.fits === false ? html`<p class="note bad strong">${t("train.too_big")}</p>` : e.fits ? html`<p class="note good">${t("train.fits")}</p>` : null}
    ${(e.notes ?? []).length > 0 && html`<div class="stack tight"><h3>${t("train.notes")}</h3><ul class="stack tight">${e.notes.map((note) => html`<li class="note warn small" dir="auto">${note.message ?? note}</li>`)}</ul></div>`}`;
  return html`<${Card} title=${t("train.forecast")}><div class="stack" aria-live="polite" aria-busy=${String(busy)}>${told ?? html`<p class="quiet">${t("train.forecast_wait")}</p>`}<p class="small quiet">${t("train.forecast_note")}</p></div><//>`;
}

function Form({ recipe }) {
  const properties = recipe.schema.properties ?? {}, names = Object.keys(properties).filter((name) => name !== "preset");
  const about = useMemo(() => Object.fromEntries(names.map((name) => [name, described(properties[name], recipe.schema.$defs ?? {})])), [recipe.name]);
  const defaults = () => Object.fromEntries(names.map((name) => [name, about[name].kind === "boolean" ? Boolean(properties[name].default) : shown(properties[name].default)]));
  const [preset, setPreset] = useAddress("preset"), [kept, keep] = useAddress("set", "{}");
  const start = () => { let own = {}; try { own = JSON.parse(kept); } catch { keep("{}"); } return { ...defaults(), ...own }; };
  const [values, set] = useState(start), [forecast, tell] = useState(null), [busy, wait] = useState(false);
  const changed = Object.fromEntries(names.filter((name) => String(values[name]) !== String(defaults()[name])).map((name) => [name, values[name]]));
  const settings = Object.fromEntries(Object.entries(changed).map(([name, value]) => [name, parsed(value, about[name])]).filter(([, value]) => value !== undefined));
  const wrong = Object.fromEntries(names.flatMap((name) => {
    const value = parsed(values[name], about[name]), { kind, least, most } = about[name];
    if (kind !== "integer" && kind !== "number" || value === undefined) return [];
    if (!Number.isFinite(value) || kind === "integer" && !Number.isInteger(value)) return [[name, t("train.not_a_number")]];
    return value < least || value > most ? [[name, t("train.between", { least: least === undefined ? "–" : shown(least), most: most === undefined ? "–" : shown(most) })]] : [];
  }));
  for (const one of forecast?.data?.problems ?? []) if (one.field) wrong[one.field] ??= `${one.message} ${one.hint ?? ""}`;
  const change = (name, value) => { setPreset(""); set((old) => ({ ...old, [name]: value })); };
  const body = JSON.stringify(settings), sound = Object.keys(wrong).length === 0;
  useEffect(() => {
    keep(Object.keys(changed).length ? JSON.stringify(changed) : "{}");
    const stop = new AbortController();
    const timer = setTimeout(async () => {
      wait(true);
      try { tell({ data: await call("POST", `${here}/estimate`, { verb: recipe.verb, plugin: recipe.plugin, settings }, stop.signal) }); } catch (problem) { if (problem.name !== "AbortError") tell({ problem }); }
      wait(false);
    }, PAUSE);
    return () => { clearTimeout(timer); stop.abort(); };
  }, [body, recipe.name]);
  const go = useDeed(async () => { const job = await call("POST", `${here}/jobs`, { verb: recipe.verb, plugin: recipe.plugin ?? "", settings }); location.assign(`${home}/jobs/${job.id}`); });
  const choose = (name) => {
    const one = recipe.presets.find((each) => each.name === name);
    setPreset(name);
    set({ ...defaults(), ...Object.fromEntries(Object.entries(one.settings).map(([key, value]) => [key, typeof value === "boolean" ? value : shown(value)])) });
  };
  const first = names.filter((name) => FIRST.includes(name) && about[name].kind !== "object").sort((a, b) => FIRST.indexOf(a) - FIRST.indexOf(b)), rest = names.filter((name) => !first.includes(name) && about[name].kind !== "object");
  // What a setting of the nine steps is for stands in the page's language; of recipes, as their authors wrote it.
  const helped = (name) => recipe.verb === "teach" && called("help_teach", name) !== name ? { ...properties[name], description: called("help_teach", name) } : properties[name];
  const fields = (list) => html`<div class="form">${list.map((name) => html`<${Setting} key=${name} name=${name} property=${helped(name)} about=${about[name]} value=${values[name]} problem=${wrong[name]} change=${(value) => change(name, value)} />`)}</div>`;
  return html`<div class="split"><form class="stack" onSubmit=${(event) => { event.preventDefault(); if (sound) go.run(); }}>
    ${recipe.presets?.length > 0 && html`<${Card} title=${t("train.presets")}><${Choose} label=${t("train.presets")} value=${preset} change=${choose} options=${recipe.presets.map((one) => [one.name, called("presets", one.name) === one.name ? one.label ?? one.name : called("presets", one.name)])} />
      ${preset && html`<p class="small quiet">${called("presets_text", preset) === preset ? recipe.presets.find((one) => one.name === preset)?.help : called("presets_text", preset)}</p>`}<//>`}
    <${Card} title=${t("train.chief")}>${fields(first.length ? first : rest.slice(0, 8))}<//>
    ${rest.length > 0 && html`<details class="card" open=${rest.some((name) => wrong[name])}><summary>${t("train.all_settings", { n: rest.length })}</summary>${fields(first.length ? rest : rest.slice(8))}</details>`}
    <${Trouble} problem=${go.problem} />
    <div class="row"><button class="main" disabled=${go.busy || !sound}><${Icon} name="play" />${t("train.start")}</button>${Object.keys(changed).length > 0 && html`<button type="button" onClick=${() => { setPreset(""); set(defaults()); }}>${t("train.reset")}</button>`}<span class="small quiet">${t("train.changed", { n: Object.keys(changed).length })}</span></div></form>
    <${Forecast} state=${forecast} busy=${busy} /></div>`;
}

export default function Train() {
  const from = useGet(`${root}/recipes`), about = useGet(here), [chosen, choose] = useAddress("recipe"), [, forget] = useAddress("set", "{}"), [, forgetPreset] = useAddress("preset"), [turn, next] = useState(0);
  const changed = () => { about.again(); next((n) => n + 1); };
  return html`<div class="stack"><${Head} title=${t("nav.train")} lead=${t("train.lead")} />
    <${Got} from=${from}>${({ recipes: all }) => {
    const recipes = all.filter((one) => ["teach", "train"].includes(one.verb) && one.schema).map((one) => ({ ...one, name: one.plugin || one.verb })).sort((a, b) => ORDER.indexOf(b.name) - ORDER.indexOf(a.name));
    const recipe = recipes.find((one) => one.name === chosen) ?? recipes[0];
    if (about.data && !about.data.sources && !about.data.artifacts.split) return html`<${Empty} title=${t("train.nothing")} text=${t("train.nothing_text")} to="material" action=${t("nav.material")} />`;
    return html`<div class="stack"><${Field} label=${t("train.recipe")} help=${called("recipes_text", recipe.name) === recipe.name ? recipe.help : called("recipes_text", recipe.name)}>${(id, told) => html`<select id=${id} aria-describedby=${told} value=${recipe.name} onChange=${(event) => { forget("{}"); forgetPreset(""); choose(event.target.value); }}>${recipes.map((one) => html`<option value=${one.name}>${called("recipes", one.name)}</option>`)}</select>`}<//>
      ${about.data && html`<${Base} base=${about.data.base} changed=${changed} />`}
      <${Form} recipe=${recipe} key=${`${recipe.name} ${about.data?.base} ${turn}`} /></div>`;
  }}<//></div>`;
}
