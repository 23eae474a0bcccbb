// Passages a recogniser was not sure of: the picture or the sound beside the text, decided by keys.
import { useEffect, useRef, useState } from "../vendor/htm-preact.js";
import { call, here, useAddress, useGet } from "../lib/api.js";
import { Empty, Got, Head, Icon, Meter, Trouble, html, useDeed, useKeys } from "../lib/ui.js";
import { number, t, tag } from "../lib/words.js";

function Desk({ items, decidedBefore, again }) {
  const [at, setAt] = useAddress("at", "0"), [decided, setDecided] = useState({}), [text, setText] = useState(""), sound = useRef(null), field = useRef(null);
  const i = Math.min(Number(at), items.length), item = items[i];
  useEffect(() => { if (item) { setText(decided[item.id]?.text ?? item.text); field.current?.focus(); } }, [item?.id]);
  const keep = useDeed(async (verdict) => {
    const said = verdict === "keep" ? (text.trim() && text.trim() !== item.text ? "correct" : "accept") : verdict;
    await call("POST", `${here}/review/${encodeURIComponent(item.id)}`, { verdict: said, text: said === "correct" ? text.trim() : said === "accept" ? item.text : "" });
    setDecided({ ...decided, [item.id]: { verdict: said, text } });
    setAt(String(i + 1));
  });
  const deeds = { cEnter: () => item && keep.run("keep"), cDelete: () => item && keep.run("reject"), aArrowRight: () => setAt(String(Math.min(items.length, i + 1))), aArrowLeft: () => setAt(String(Math.max(0, i - 1))), "c ": () => sound.current && (sound.current.paused ? sound.current.play() : sound.current.pause()) };
  useKeys(deeds);
  const done = Object.keys(decided).length;
  if (!item) return html`<${Empty} title=${t("review.end")} text=${t("review.end_text", { n: done })} to="material" action=${t("nav.material")}><button onClick=${() => { setAt("0"); again(); }}>${t("review.look_again")}</button><//>`;
  const address = `${here}/review/${encodeURIComponent(item.id)}`;
  return html`<div class="stack"><div class="row apart"><p role="status" class="strong">${t("review.place", { at: i + 1, total: items.length })}</p><p class="small quiet" dir="auto">${item.where}</p></div>
    <${Meter} value=${i} most=${items.length} label=${t("nav.review")} cls="thin" />
    <div class="review"><div class="stack tight"><div class="piece">${item.piece === "sound" ? html`<audio controls ref=${sound} src=${`${address}/sound`} aria-label=${t("review.sound")}></audio>` : html`<img src=${`${address}/picture`} alt=${t("review.picture")} />`}</div><p class="small quiet" dir="auto">${item.why}</p></div>
      <div class="stack tight"><label class="label" for="text">${t("review.text")}</label><textarea id="text" ref=${field} rows="6" lang=${tag(item.language)} dir=${item.direction ?? "auto"} value=${text} onInput=${(event) => setText(event.target.value)}></textarea>
        ${decided[item.id] && html`<p class="small good">${t(`review.${decided[item.id].verdict}`)}</p>`}<${Trouble} problem=${keep.problem} /></div></div>
    <div class="row"><button class="main" disabled=${keep.busy} onClick=${deeds.cEnter}>${t("review.keep")} <kbd>Ctrl Enter</kbd></button><button disabled=${keep.busy} onClick=${deeds.cDelete}>${t("review.do_reject")} <kbd>Ctrl Delete</kbd></button>
      <button onClick=${deeds.aArrowLeft}>${t("review.back")} <kbd>Alt <${Icon} name="left" /></kbd></button><button onClick=${deeds.aArrowRight}>${t("review.later")} <kbd>Alt <${Icon} name="right" /></kbd></button></div></div>`;
}

export default function Review() {
  const from = useGet(`${here}/review?limit=200`);
  return html`<div class="stack"><${Head} title=${t("nav.review")} lead=${t("review.lead")} />
    <${Got} from=${from}>${(data) => data.waiting.length ? html`<${Desk} items=${data.waiting} again=${from.again} />` : html`<${Empty} title=${t("review.none")} text=${t("review.none_text")} to="material" action=${t("nav.material")} />`}<//></div>`;
}
