// How a grade changed, as `grade` tells it: in percent of before, or in points where before is too near zero for that.
import { signed } from "./words.js";

const unit = (one) => (one.unit === "percent" ? " %" : "");
export const change = (one) => `${signed(one.unit === "percent" ? one.percent : one.points)}${unit(one)}`;
export const interval = (one) => one.low === null ? "–" : `${signed(one.low)} … ${signed(one.high)}${unit(one)}`;
// Fewer seconds are better, of everything else more.
export const tone = (name, one) => one.low === null || (one.low <= 0 && one.high >= 0) ? "" : (one.low > 0) === (name !== "seconds") ? "good" : "bad";
