// What the page was given, and how it asks for more: every answer comes from /api/v1, every refusal is a Problem with a hint.
import { useCallback, useEffect, useState } from "../vendor/htm-preact.js";

export const boot = JSON.parse(document.getElementById("data").textContent);
export const { page, lang, names } = boot;
export const { project, job } = page === "problem" ? {} : names;
export const root = "/api/v1";
export const here = project ? `${root}/projects/${encodeURIComponent(project)}` : root;
// The project as it was when the page was made; its languages do not change.
export const about = project ? boot.first[here] : null;
export const home = project ? `/p/${encodeURIComponent(project)}` : "/";

export class Problem extends Error {
  constructor(status, answer) {
    const said = answer?.error ?? answer?.detail ?? {};
    super(typeof said === "string" ? said : said.message || `HTTP ${status}`);
    this.hint = said.hint || "";
    this.code = said.code || "";
    this.status = status;
  }
}

// Ask the API. `body` is a FormData or anything JSON can hold.
export async function call(method, path, body, signal) {
  const form = body instanceof FormData;
  let answer;
  try {
    answer = await fetch(path, {
      method, signal, headers: body && !form ? { "Content-Type": "application/json" } : {},
      body: body === undefined ? undefined : form ? body : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { error: { message: boot.strings.frame.offline, hint: boot.strings.frame.offline_hint } });
  }
  const text = await answer.text();
  let data = null;
  try { data = text ? JSON.parse(text) : null; } catch { data = { error: { message: text.slice(0, 300) } }; }
  if (!answer.ok) throw new Problem(answer.status, data);
  return data;
}

// The first answer came with the page; later ones are asked for.
export async function get(path, signal) {
  if (path in boot.first) {
    const data = boot.first[path];
    delete boot.first[path];
    return data;
  }
  return call("GET", path, undefined, signal);
}

// {data, problem, again}: what `path` answers; null asks nothing. `again()` asks anew and keeps the old data meanwhile.
export function useGet(path) {
  const [state, set] = useState(() => ({ data: path in boot.first ? boot.first[path] : undefined }));
  const [turn, next] = useState(0);
  useEffect(() => {
    if (path === null) return undefined;
    const stop = new AbortController();
    get(path, stop.signal).then((data) => set({ data }), (problem) => problem.name !== "AbortError" && set((old) => ({ ...old, problem })));
    return () => stop.abort();
  }, [path, turn]);
  return { ...state, again: useCallback(() => next((n) => n + 1), []), put: (data) => set({ data }) };
}

// A value that lives in the address, so that a reload shows the same.
export function useAddress(name, initial = "") {
  const read = () => new URLSearchParams(location.search).get(name) ?? initial;
  const [value, set] = useState(read);
  const change = useCallback((next) => {
    const query = new URLSearchParams(location.search);
    if (next === initial || next === "" || next === null) query.delete(name); else query.set(name, next);
    history.replaceState(null, "", `${location.pathname}${query.size ? `?${query}` : ""}`);
    set(next);
  }, [name, initial]);
  return [value, change];
}

export const query = (values) => {
  const kept = Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return kept.length ? `?${new URLSearchParams(kept)}` : "";
};
