// What is said where a page cannot be shown.
import { boot, Problem } from "../lib/api.js";
import { html, Trouble } from "../lib/ui.js";
import { t } from "../lib/words.js";

export default () => html`<div class="stack"><h1>${t("nav.problem")}</h1><${Trouble} problem=${new Problem(0, boot.first)} /><p><a class="button" href="/">${t("nav.projects")}</a></p></div>`;
