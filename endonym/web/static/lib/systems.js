// The systems one can ask or compare: the base, and every model that was trained, newest first.
import { moment, t } from "./words.js";

export const systemsOf = ({ models }) => [{ system: "base", label: t("chat.base") }, ...models.map((one) => ({ system: one.id, label: t("chat.trained", { recipe: one.recipe, n: one.job }), when: moment(one.created) }))];
