/**
 * Thresholds by hand: a slider for each exit, over the tokens of the text in the order of their scores there. Moving it
 * shows at once how many would leave and how many would differ, from the recorded scores: nothing is written anew.
 * Ticks, and buttons, are the certified thresholds.
 */
import type { OperatingPoint, Prediction } from "../../engine/index.js";
import { byId, element } from "../dom.js";
import { percent, threshold } from "../format.js";

export function showThresholds(
  predictions: readonly Prediction[],
  score = "",
  points: readonly OperatingPoint[] = [],
): void {
  const sign = score === "entropy" ? -1 : 1; // the only score that falls as confidence grows
  const exits = (predictions[0]?.exits ?? []).map(({ depth, threshold: inUse }, exit) => {
    // Those that leave first come first.
    const order = predictions
      .map((prediction, token) => ({ token, ...prediction.exits[exit]! }))
      .sort((a, b) => sign * (b.score - a.score));
    const leaving = (limit: typeof inUse = "never"): number =>
      limit === "never" ? 0 : order.filter((at) => limit === "always" || sign * (at.score - limit) >= 0).length;
    const ticks = points.map(({ certified }) => leaving(certified.policy.exits[exit]?.threshold));
    const id = `exit-${exit}`;
    const slider = element("input", { id, type: "range", min: 0, max: order.length, list: `${id}-ticks` });
    slider.value = String(leaving(inUse));
    slider.addEventListener("input", update);
    return { depth, order, ticks, slider, output: element("output", { for: id }) };
  });
  const result = element("p", { role: "status" });

  function update(): void {
    const left = new Map<number, boolean>();
    for (const { order, slider, output } of exits) {
      const leaving = order.slice(0, slider.valueAsNumber);
      for (const { token, agrees } of leaving) left.set(token, left.get(token) ?? agrees);
      const last = leaving.at(-1)?.score ?? "never";
      output.value = last === "never" ? last : `${score} ${sign > 0 ? "≥" : "≤"} ${threshold(last)}`;
    }
    const differ = [...left.values()].filter((agrees) => !agrees).length;
    result.textContent =
      `${left.size} of ${predictions.length} tokens leave, ${differ} differ from the full model's. ` +
      "Nothing is certified here.";
  }

  const buttons = points.map(({ agreement }, point) => {
    const button = element("button", { type: "button" }, percent(agreement, 0));
    button.addEventListener("click", () => {
      for (const { slider, ticks } of exits) slider.value = String(ticks[point]);
      update();
    });
    return button;
  });
  byId("by-hand").hidden = exits.length === 0;
  byId("by-hand-body").replaceChildren(
    ...exits.map(({ depth, order, ticks, slider, output }) =>
      element(
        "div",
        { class: "slider" },
        element("label", { for: slider.id }, `After block ${depth}`),
        output,
        element("div", { class: "strip" }, ...order.map(({ agrees }) => element("i", { class: !agrees && "wrong" }))),
        slider,
        element("datalist", { id: `${slider.id}-ticks` }, ...ticks.map((value) => element("option", { value }))),
      ),
    ),
    element("div", { class: "row" }, ...buttons),
    result,
  );
  update();
}
