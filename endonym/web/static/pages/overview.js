// One project: what to do next, where it stands, and points that are kept apart from scores.
import { here, home, useGet } from "../lib/api.js";
import { Card, Facts, Got, Head, Icon, Meter, State, html } from "../lib/ui.js";
import { called, languageName, moment, number, t, tag, way } from "../lib/words.js";

const WAY = ["material", "review", "tokenizer", "train", "compare", "rate", "chat", "export"];

// The one thing to do next, by what there is.
function next(about, files, review, jobs) {
  const has = (kind) => kind in about.artifacts;
  const busy = jobs.find((job) => ["running", "queued"].includes(job.state) && !job.parent);
  const stopped = jobs.find((job) => ["paused", "needs_recovery"].includes(job.state) && !job.parent);
  if (busy) return ["watch", `jobs/${busy.id}`];
  if (stopped) return ["resume", `jobs/${stopped.id}`];
  if (!files.length && !about.sources) return ["material", "material"];
  if (review) return ["review", "review"];
  if (!has("model")) return ["train", "train"];
  if (!has("scores") && !has("lesson")) return ["measure", "train"];
  if (!has("export")) return ["export", "export"];
  return ["rate", "rate"];
}

function Points({ experience }) {
  if (!experience?.level) return html`<p class="quiet">${t("overview.no_points")}</p>`;
  const { level, points, next_level_at: above } = experience;
  return html`<div class="stack tight"><div class="level"><span class="big" aria-hidden="true">${level}</span><span class="strong">${t("overview.level", { n: level })}</span>
    <span>${t("overview.points", { n: Math.round(points) })}</span></div>${above && html`<${Meter} value=${points} most=${above} label=${t("overview.level", { n: level + 1 })} /><p class="small quiet">${t("overview.to_next", { n: Math.max(0, Math.ceil(above - points)) })}</p>`}
    <p class="small quiet">${t("overview.points_note")}</p></div>`;
}

function Scores({ rows }) {
  const pairs = rows.filter((row) => row.system === "tuned").map((row) => [row, rows.find((other) => other.system === "base" && ["task", "direction", "metric"].every((key) => other[key] === row[key]))]).filter(([, base]) => base);
  if (!pairs.length) return html`<p class="quiet">${t("overview.no_scores")}</p>`;
  return html`<div class="stack tight">${pairs.slice(0, 5).map(([row, base]) => html`<div class="row apart"><span>${called("tasks", row.task)} <bdi class="quiet small">${way(row.direction)}</bdi><br /><span class="small quiet">${row.name}</span></span>
    <span class="n">${number(base.value, 1)} <${Icon} name="right" /><span class="sr">${t("job.after")}</span> <strong>${number(row.value, 1)}</strong></span></div>`)}<a href=${`${home}/compare`}>${t("overview.all_scores")}</a></div>`;
}

export default function Overview() {
  const about = useGet(here), files = useGet(`${here}/files`), jobs = useGet(`${here}/jobs`), review = useGet(`${here}/review`), scores = useGet(`${here}/scores`);
  return html`<${Got} from=${about}>${(p) => {
    const list = jobs.data?.jobs ?? [], have = files.data?.sources ?? [], waiting = review.data?.total ?? 0, [deed, to] = next(p, have, waiting, list);
    const marks = { material: p.sources > 0 || have.length > 0, tokenizer: "tokenizer" in p.artifacts, train: "model" in p.artifacts, compare: "scores" in p.artifacts || "lesson" in p.artifacts, export: "export" in p.artifacts };
    return html`<div class="stack"><${Head} title=${html`<bdi lang=${tag(p.language.code)}>${p.language.own}</bdi>`} lead=${p.description || t("projects.through", { language: languageName(p.language.code, p.language.name), pivot: languageName(p.pivot.code, p.pivot.name) })} />
      ${files.data && jobs.data && html`<section class="card next"><h2>${t(`overview.next.${deed}`)}</h2><p>${t(`overview.next.${deed}_text`, { n: waiting })}</p><a class="button main" href=${`${home}/${to}`}>${t(`overview.next.${deed}_do`)}<${Icon} name="right" /></a></section>`}
      <ol class="journey">${WAY.map((name) => html`<li><a href=${`${home}/${name}`}><span class="row apart"><strong>${t(`nav.${name}`)}</strong>${marks[name] && html`<span class="done"><${Icon} name="check" /><span class="sr">${t("states.completed")}</span></span>`}</span><span class="small quiet">${t(`overview.way.${name}`)}</span></a></li>`)}</ol>
      <div class="split"><div class="stack">
        <${Card} title=${t("overview.measured")}><${Scores} rows=${scores.data?.scores?.[0]?.rows ?? []} /><//>
        <${Card} title=${t("overview.latest")} side=${html`<a href=${`${home}/jobs`}>${t("overview.all_jobs")}</a>`}>${list.length ? html`<div class="scroll" role="region" tabindex="0" aria-label=${t("overview.latest")}><table><tbody>${list.filter((job) => !job.parent).slice(0, 6).map((job) => html`<tr><th scope="row"><a href=${`${home}/jobs/${job.id}`}>${called("verbs", job.verb)} ${job.plugin}</a></th><td><${State} state=${job.state} /></td><td class="quiet small">${moment(job.created)}</td></tr>`)}</tbody></table></div>` : html`<p class="quiet">${t("overview.no_jobs")}</p>`}<//>
      </div><div class="stack"><${Card} title=${t("overview.motivation")}><${Points} experience=${p.experience} /><//>
        <${Card} title=${t("overview.facts")}><${Facts} facts=${[[t("overview.language"), `${languageName(p.language.code, p.language.name)} (${p.language.code})`], [t("overview.pivot"), `${languageName(p.pivot.code, p.pivot.name)} (${p.pivot.code})`], [t("overview.base"), p.base], [t("overview.sources"), number(p.sources)]]} /><//></div></div></div>`;
  }}<//>`;
}
