/**
 * Lossless decoding as a timeline: the drafts of each round, those that were accepted, and the full model's own token.
 */
import { element } from "../dom.js";
import { visible } from "../format.js";
import type { Prediction, RoundSummary, TokenEvent } from "../../engine/index.js";

interface RoundsShown {
  readonly rounds: readonly RoundSummary[];
  readonly tokens: readonly TokenEvent[];
  /** The predictions at every token, which name the first rejected draft of an exit. Empty if tokens were sampled. */
  readonly predictions: readonly Prediction[];
}

export function showRounds(root: HTMLElement, { rounds, tokens, predictions }: RoundsShown): void {
  let at = 0;
  const items = rounds.map(({ drafted, accepted, byExits }, round) => {
    const written = tokens.slice(at, (at += accepted + 1));
    const chips = written.slice(0, accepted).map(({ text }) => chip("accepted", "✓", text));
    const own = written[accepted];
    const rejected = (byExits && predictions[at - 1]?.exits.find(({ fires }) => fires)?.text) || "";
    for (let i = accepted; i < drafted; i++) chips.push(chip("rejected", "✗", i === accepted ? rejected : ""));
    if (own !== undefined) chips.push(chip("own", "●", own.text));
    return element("li", { "aria-label": `round ${round + 1}: ${drafted} drafted, ${accepted} accepted` }, ...chips);
  });
  const sum = (name: "drafted" | "accepted"): number => rounds.reduce((total, round) => total + round[name], 0);
  root.replaceChildren(
    element(
      "p",
      { class: "note" },
      `${rounds.length} rounds: ${sum("drafted")} tokens drafted, by exits or as repetitions, ` +
        `${sum("accepted")} accepted (✓), ${sum("drafted") - sum("accepted")} rejected (✗); ` +
        "● is the full model's own token.",
    ),
    element("ol", { class: "rounds", tabindex: 0, "aria-label": "Rounds of lossless decoding" }, ...items),
  );
}

function chip(kind: "accepted" | "rejected" | "own", mark: string, text: string): HTMLElement {
  return element(
    "span",
    { class: `chip ${kind}` },
    element("b", { "aria-label": kind === "own" ? "the full model's own" : kind }, mark),
    text === "" ? "" : element("code", {}, visible(text)),
  );
}
