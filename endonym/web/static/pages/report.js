// The report of `compare`, as a page of its own inside this one: it can do nothing but be read.
import { call, here, home, useAddress, useGet } from "../lib/api.js";
import { Empty, Got, Head, Icon, Trouble, html, useDeed } from "../lib/ui.js";
import { moment, t } from "../lib/words.js";

export default function Report() {
  const jobs = useGet(`${here}/jobs`), [wanted, want] = useAddress("job");
  const make = useDeed(async () => { const job = await call("POST", `${here}/jobs`, { verb: "compare", settings: {} }); location.assign(`${home}/jobs/${job.id}`); });
  return html`<div class="stack"><${Got} from=${jobs}>${({ jobs: list }) => {
    const reports = list.filter((job) => job.verb === "compare" && job.state === "succeeded");
    if (!reports.length) { const scored = list.some((job) => job.verb === "evaluate" && job.state === "succeeded"); return html`<div class="stack"><${Head} title=${t("nav.report")} lead=${t("report.lead")} /><${Empty} title=${t("report.none")} text=${t(scored ? "report.none_text" : "report.no_scores")} to=${scored ? undefined : "train"} action=${t("nav.train")}>${scored && html`<button class="main" disabled=${make.busy} onClick=${() => make.run()}>${t("report.make")}</button>`}<//><${Trouble} problem=${make.problem} /></div>`; }
    const chosen = reports.find((job) => String(job.id) === wanted) ?? reports[0], address = `${here}/jobs/${chosen.id}/files/output/report.html`;
    return html`<div class="stack"><${Head} title=${t("nav.report")} lead=${t("report.lead")}>${reports.length > 1 && html`<label class="row small"><span>${t("report.which")}</span><select value=${String(chosen.id)} onChange=${(event) => want(event.target.value)}>${reports.map((job) => html`<option value=${String(job.id)}>${job.id} · ${moment(job.finished)}</option>`)}</select></label>`}<a class="button" href=${address} download=${`report-${chosen.id}.html`}><${Icon} name="download" />${t("report.download")}</a><//>
      <iframe class="report" sandbox="" src=${`${address}?inline=1`} title=${t("nav.report")}></iframe></div>`;
  }}<//></div>`;
}
