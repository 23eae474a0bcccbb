// The base model of a project: what it is, getting one onto this computer while this shows how far it is, choosing another.
import { useEffect, useState } from "../vendor/htm-preact.js";
import { call, here, root, useGet } from "./api.js";
import { Card, Field, Got, Icon, Meter, Trouble, html, useDeed } from "./ui.js";
import { bytes, t } from "./words.js";

const LOOK = 1000;

function Going({ one, stop }) {
  return html`<div class="stack tight" aria-live="polite">${one.state === "failed" ? html`<${Trouble} problem=${one.problem} />` : html`
    <p class="small"><span dir="auto">${one.what || t("base.begins")}</span>${one.total > 0 && ` · ${bytes(one.done)} / ${bytes(one.total)}`}</p><${Meter} value=${one.done} most=${one.total} label=${t("base.getting", { name: one.name })} />`}
    <div class="row"><button type="button" class="small" onClick=${stop}>${one.state === "failed" ? t("base.forget") : t("frame.cancel")}</button></div></div>`;
}

export function Base({ base, changed }) {
  const from = useGet(`${root}/models`), [path, type] = useState("");
  const going = from.data?.getting ?? [], known = from.data?.models ?? [], active = going.some((one) => one.state === "getting");
  useEffect(() => {
    if (!active) return undefined;
    const timer = setTimeout(from.again, LOOK);
    return () => clearTimeout(timer);
  }, [from.data]);
  useEffect(() => { if (from.data && !active) changed(); }, [active]);
  const use = useDeed(async (name) => { await call("PATCH", here, { base: name }); changed(); });
  const get = useDeed(async (name) => { const told = await call("POST", `${root}/models`, { model: name }); from.again(); return told; });
  // A folder can be used at once; a file has to become a model of the list first.
  const take = async () => { const told = await get.run(path.trim()); if (told?.base) await use.run(told.base); if (told) type(""); };
  const stop = useDeed(async (name) => { await call("POST", `${root}/models/cancel`, { model: name }); from.again(); });
  const mine = known.find((one) => one.name === base), missing = mine && !mine.here, others = going.filter((one) => !known.some((each) => each.name === one.name));
  const Get = ({ one }) => html`<button type="button" disabled=${get.busy} onClick=${() => get.run(one.name)}><${Icon} name="download" />${t("base.get", { size: bytes(one.disk_bytes) })}</button>`;
  const of = (one) => going.find((each) => each.name === one.name);
  return html`<${Card} title=${t("projects.base")}><${Got} from=${from}>${() => html`<div class="stack"><p><strong><bdi>${base}</bdi></strong> ${missing ? html`<span class="chip warn">${t("projects.not_here")}</span>` : html`<span class="chip good">${t("base.here")}</span>`}</p>
    ${missing && !of(mine) && html`<div class="row"><${Get} one=${mine} /><span class="small quiet">${from.data.network ? t("base.network") : t("base.offline")}</span></div>`}
    ${missing && of(mine) && html`<${Going} one=${of(mine)} stop=${() => stop.run(base)} />`}
    <${Trouble} problem=${get.problem ?? use.problem ?? stop.problem} />
    <details><summary>${t("base.another")}</summary><div class="stack"><ul class="stack">${known.filter((one) => one.name !== base).map((one) => html`<li class="stack tight"><p><strong><bdi>${one.name}</bdi></strong> <span class="small quiet" dir="auto">${one.summary} ${one.licence}</span></p>
      ${one.here ? html`<div class="row"><button type="button" disabled=${use.busy} onClick=${() => use.run(one.name)}>${t("base.use", { name: one.name })}</button></div>` : of(one) ? html`<${Going} one=${of(one)} stop=${() => stop.run(one.name)} />` : html`<div class="row"><${Get} one=${one} /></div>`}</li>`)}
      ${others.map((one) => html`<li><${Going} one=${one} stop=${() => stop.run(one.name)} /></li>`)}</ul>
      <${Field} label=${t("base.path")} help=${t("base.path_help")}>${(id, told) => html`<div class="row"><input id=${id} aria-describedby=${told} dir="ltr" autocomplete="off" value=${path} onInput=${(event) => type(event.target.value)} />
        <button type="button" disabled=${!path.trim() || get.busy} onClick=${take}>${t("base.take")}</button></div>`}<//></div></details></div>`}<//><//>`;
}
