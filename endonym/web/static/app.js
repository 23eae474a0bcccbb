// Every page begins here: the theme, the language, and the module that draws the page.
import { html, render } from "./vendor/htm-preact.js";
import { boot, page } from "./lib/api.js";

const year = "; path=/; max-age=31536000; samesite=strict";
const dark = () => (document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
document.getElementById("theme").addEventListener("click", () => {
  const next = dark() ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  document.cookie = `endonym_theme=${next}${year}`;
});
document.getElementById("language").addEventListener("change", (event) => {
  document.cookie = `endonym_lang=${event.target.value}${year}`;
  const address = new URL(location.href);
  address.searchParams.delete("lang");
  location.replace(address);
});
document.querySelector("nav a[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

const { default: Page } = await import(`./pages/${page}.js`);
const main = document.getElementById("main");
main.replaceChildren();
render(html`<${Page} />`, main);
document.documentElement.dataset.ready = boot.page;
