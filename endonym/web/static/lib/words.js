// What the page says: sentences by key from strings/<language>.json, numbers, sizes and times as the language writes them.
import { about, boot, lang } from "./api.js";

const plurals = new Intl.PluralRules(lang);
const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });

const languages = new Intl.DisplayNames(lang, { type: "language", fallback: "none" });

const find = (key) => key.split(".").reduce((found, part) => found?.[part], boot.strings);

// The sentence of `key` with its {names} filled in; where it is a table of plural forms, that of `values.n`.
export function t(key, values = {}) {
  let said = find(key);
  if (said && typeof said === "object") said = said[plurals.select(values.n)] ?? said.other;
  if (said === undefined) return key;
  return said.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? (typeof values[name] === "number" ? number(values[name]) : values[name]) : whole));
}
// The name of a language in the language of the page, else the name it came with.
export function languageName(code, name) {
  let said;
  try { said = languages.of(code); } catch { said = undefined; }
  return said ?? name ?? (about && [about.language, about.pivot].find((one) => one.code === code)?.name) ?? code;
}
// The code a `lang` attribute wants, which is the shortest there is (`es`, not `spa`); nothing for what is no language.
export function tag(code) {
  if (!/^[a-z]{2,3}(-|$)/.test(code ?? "")) return undefined;
  try { return Intl.getCanonicalLocales(code)[0]; } catch { return undefined; }
}
// `spa>tzh` in words.
export const way = (direction) => { const [from, to] = (direction ?? "").split(">"); return to ? t("frame.way", { from: languageName(from), to: languageName(to) }) : from ? languageName(from) : ""; };
// A sentence if there is one for what the program calls `name`, else the name itself.
export const called = (group, name) => { const said = find(`${group}.${name}`); return typeof said === "string" ? said : name; };

// A sentence that came as parts, `[key, values]` each, in the language of the page; as it came in English where a part is not known.
export function put(parts, plain) {
  if (!parts?.length || !parts.every(([key]) => typeof find(`said.${key}`) === "string")) return plain;
  const written = (value) => typeof value === "number" ? number(value, String(value).split(".")[1]?.length ?? 0) : value;
  return parts.map(([key, values]) => t(`said.${key}`, Object.fromEntries(Object.entries(values).map(([name, value]) => [name, written(value)])))).join("");
}

export const number = (value, digits = 0) => value === null || value === undefined ? "–" : new Intl.NumberFormat(lang, { maximumFractionDigits: digits, minimumFractionDigits: Number.isInteger(value) ? 0 : digits }).format(value);
export const percent = (share, digits = 0) => new Intl.NumberFormat(lang, { style: "percent", maximumFractionDigits: digits }).format(share);
export const signed = (value, digits = 1) => new Intl.NumberFormat(lang, { maximumFractionDigits: digits, minimumFractionDigits: digits, signDisplay: "exceptZero" }).format(value);
export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
  let power = 0;
  while (value >= 1000 && power < 4) { value /= 1000; power += 1; }
  return new Intl.NumberFormat(lang, { style: "unit", unit: units[power], unitDisplay: power ? "short" : "long", maximumFractionDigits: value < 10 && power > 1 ? 1 : 0 }).format(value);
}
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  const unit = (value, name, digits = 0) => new Intl.NumberFormat(lang, { style: "unit", unit: name, unitDisplay: "short", maximumFractionDigits: digits }).format(value);
  if (seconds < 60) return unit(seconds, "second", seconds < 10 ? 1 : 0);
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return unit(minutes, "minute");
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${unit(hours, "hour")} ${unit(minutes % 60, "minute")}`;
  return unit(hours / 24, "day", 1);
}
export const moment = (time) => time ? new Intl.DateTimeFormat(lang, { dateStyle: "medium", timeStyle: "short" }).format(new Date(typeof time === "number" ? time * 1000 : time)) : "–";

// At most `most` letters as a reader counts them, never half of one.
export function shorten(text, most) {
  const whole = [...graphemes.segment(text)];
  return whole.length <= most ? text : `${whole.slice(0, most - 1).map((part) => part.segment).join("").trimEnd()}…`;
}
