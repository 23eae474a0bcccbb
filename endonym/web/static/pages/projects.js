// All projects of this folder, and making one.
import { useEffect, useRef, useState } from "../vendor/htm-preact.js";
import { call, get, root, useAddress, useGet } from "../lib/api.js";
import { Empty, Field, Got, Icon, Trouble, html, useDeed } from "../lib/ui.js";
import { languageName, moment, t, tag } from "../lib/words.js";

const ENDONYMS = [["am", "አማርኛ"], ["tzh", "bats'il k'op"], ["hi", "हिन्दी"], ["ar", "العربية"], ["bn", "বাংলা"], ["qu", "Runasimi"], ["ta", "தமிழ்"], ["km", "ខ្មែរ"], ["yo", "Yorùbá"], ["my", "မြန်မာ"], ["nqo", "ߒߞߏ"], ["gn", "avañe'ẽ"], ["zgh", "ⵜⴰⵎⴰⵣⵉⵖⵜ"], ["es", "español"]];

// A language by its name: what is typed is looked up, arrows and Enter choose.
function Language({ label, help, value, change, problem }) {
  const [text, type] = useState(""), [found, show] = useState([]), [at, move] = useState(-1), typed = useRef(0);
  useEffect(() => {
    if (!text || text === value?.shown) { show([]); return; }
    const turn = ++typed.current;
    const timer = setTimeout(() => get(`${root}/languages?query=${encodeURIComponent(text)}`).then((answer) => turn === typed.current && (show(answer.languages ?? answer), move(0)), () => show([])), 120);
    return () => clearTimeout(timer);
  }, [text, value]);
  const choose = (one) => { const shown = one.own && one.own !== one.name ? `${one.name} · ${one.own}` : one.name; change({ code: one.code, shown }); type(shown); show([]); };
  const key = (event) => {
    if (!found.length) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") { event.preventDefault(); move((at + (event.key === "ArrowDown" ? 1 : found.length - 1)) % found.length); }
    if (event.key === "Enter" && found[at]) { event.preventDefault(); choose(found[at]); }
    if (event.key === "Escape") show([]);
  };
  return html`<${Field} label=${label} help=${help} problem=${problem}>${(id, about) => html`<div>
    <input id=${id} aria-describedby=${about} role="combobox" aria-expanded=${String(found.length > 0)} aria-controls=${`${id}-list`} aria-autocomplete="list" autocomplete="off" dir="auto"
      aria-activedescendant=${found[at] ? `${id}-${at}` : undefined} value=${text} onInput=${(event) => { type(event.target.value); change({ code: event.target.value.trim(), shown: "" }); }} onKeyDown=${key} onBlur=${() => setTimeout(show, 200, [])} />
    <ul class="options" id=${`${id}-list`} role="listbox" aria-label=${label} hidden=${!found.length}>${found.slice(0, 12).map((one, i) => html`
      <li role="option" id=${`${id}-${i}`} aria-selected=${String(i === at)} onMouseDown=${(event) => { event.preventDefault(); choose(one); }}><span dir="auto">${one.name}</span><span class="quiet"><bdi lang=${tag(one.code)}>${one.own !== one.name ? one.own : ""}</bdi> <code>${one.code}</code></span></li>`)}</ul></div>`}<//>`;
}

function Create({ done }) {
  const [name, setName] = useState(""), [language, setLanguage] = useState(null), [pivot, setPivot] = useState(null), [base, setBase] = useState("");
  const models = useGet(`${root}/models`);
  const make = useDeed(async () => {
    const made = await call("POST", `${root}/projects`, { name: name.trim() || language.shown.split(" · ")[0] || language.code, language: language.code, pivot: pivot?.code || "eng", ...(base ? { base } : {}) });
    location.assign(`/p/${encodeURIComponent(made.id)}/material`);
  });
  const known = models.data?.models;
  return html`<form class="card stack tight" onSubmit=${(event) => { event.preventDefault(); make.run(); }}><h2>${t("projects.create")}</h2>
    <div class="form"><${Language} label=${t("projects.language")} help=${t("projects.language_help")} value=${language} change=${setLanguage} />
    <${Language} label=${t("projects.pivot")} help=${t("projects.pivot_help")} value=${pivot} change=${setPivot} />
    <${Field} label=${t("projects.name")} help=${t("projects.name_help")}>${(id, about) => html`<input id=${id} aria-describedby=${about} value=${name} dir="auto" maxlength="80" onInput=${(event) => setName(event.target.value)} />`}<//>
    ${known && html`<${Field} label=${t("projects.base")} help=${t("projects.base_help")}>${(id, about) => html`<select id=${id} aria-describedby=${about} value=${base} onChange=${(event) => setBase(event.target.value)}>
      <option value="">${t("projects.base_usual")}</option>${known.map((one) => html`<option value=${one.name}>${one.name}${one.here ? "" : ` (${t("projects.not_here")})`}</option>`)}</select>`}<//>`}</div>
    <${Trouble} problem=${make.problem} />
    <div class="row"><button class="main" disabled=${!language?.code || make.busy}>${t("projects.make")}</button><button type="button" onClick=${done}>${t("frame.cancel")}</button></div></form>`;
}

const Project = ({ one }) => one.problem ? html`<li><div class="card project"><h2 dir="auto">${one.name}</h2><p class="note bad small" dir="auto">${one.problem}</p></div></li>` : html`<li><a class="card project" href=${`/p/${encodeURIComponent(one.id)}`}>
    <span class="endonym"><bdi lang=${tag(one.language.code)}>${one.language.own}</bdi></span><span class="strong"><bdi>${one.name}</bdi></span>
    <span class="quiet small">${t("projects.through", { language: languageName(one.language.code, one.language.name), pivot: languageName(one.pivot.code, one.pivot.name) })}</span>
    <span class="row small quiet">${one.jobs.running ? html`<span class="chip live">${t("states.running")}</span>` : ""}${one.experience?.level ? html`<span class="chip">${t("overview.level", { n: one.experience.level })}</span>` : ""}<span>${t("projects.jobs", { n: one.jobs.succeeded ?? 0 })}</span></span>
    <span class="small quiet">${moment(one.changed)}</span></a></li>`;

export default function Projects() {
  const list = useGet(`${root}/projects`), [view, show] = useAddress("new");
  return html`<div class="stack"><div class="frieze" aria-hidden="true">${ENDONYMS.map(([code, name]) => html`<bdi lang=${code}>${name}</bdi>`)}</div>
    <div class="head"><div><h1>${t("projects.title")}</h1><p class="lead">${t("projects.lead")}</p></div>
      ${!view && html`<button class="main" onClick=${() => show("1")}><${Icon} name="plus" />${t("projects.create")}</button>`}</div>
    ${view && html`<${Create} done=${() => show("")} />`}
    <${Got} from=${list}>${({ projects }) => projects.length ? html`<ul class="projects">${projects.map((one) => html`<${Project} one=${one} key=${one.id} />`)}</ul>`
      : view ? null : html`<${Empty} title=${t("projects.none")} text=${t("projects.none_text")}><button class="main" onClick=${() => show("1")}><${Icon} name="plus" />${t("projects.create")}</button><//>`}<//></div>`;
}
