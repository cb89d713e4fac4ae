/** What lossless ways bring by what is asked: answers that repeat their prompt can be drafted from it. */
import type { Comparison } from "early-exits/evaluate";
import { prose, type Table } from "../report/index.js";
import type { ChatPrompt } from "./prompts.js";

const TASKS: readonly { readonly name: string; readonly instruction: RegExp }[] = [
  { name: "summarize or list facts of a text", instruction: /^(?:Summarize|List the most important facts)/ },
  { name: "rewrite or explain a text", instruction: /^(?:Rewrite|Explain|Describe|Who speaks|Write three questions)/ },
  { name: "continue a text", instruction: /^(?:Continue|Finish|What happens next|Write a short story)/ },
  { name: "a question, or anything else", instruction: /^/ },
];

/** Ratios of the ways `of`, each over the first way on the same prompts, one run for each prompt. */
export function tasksTable(
  { results, summaries }: Pick<Comparison, "results" | "summaries">,
  prompts: readonly ChatPrompt[],
  of: readonly string[],
): Table {
  const taskOf = ({ content }: ChatPrompt): string => TASKS.find(({ instruction }) => instruction.test(content))!.name;
  const ways = of.map((name) => results.findIndex((result) => result.name === name));
  return {
    title: "Lossless, by task",
    note: prose`Tokens per second over plain decoding, the median of the ratios by prompt, and the share of drafts that
      the full model accepted. What drafts nothing is plain decoding, and its ratio noise.`,
    columns: ["", "prompts", ...of.flatMap((name) => [name, "accepted"])],
    rows: TASKS.map(({ name }) => {
      const runs = prompts.flatMap((prompt, run) => (taskOf(prompt) === name ? [run] : []));
      const cells = ways.flatMap((way) => {
        const ratios = runs
          .map((run) => summaries[way]![run]!.tokensPerSecond / summaries[0]![run]!.tokensPerSecond)
          .toSorted((a, b) => a - b);
        const drafted = runs.reduce((sum, run) => sum + summaries[way]![run]!.drafted, 0);
        const accepted = runs.reduce((sum, run) => sum + summaries[way]![run]!.accepted, 0);
        const share = drafted === 0 ? "none drafted" : `${accepted} of ${drafted}`;
        return ratios.length === 0 ? ["", ""] : [ratios[ratios.length >> 1]!.toFixed(2), share];
      });
      return [name, String(runs.length), ...cells];
    }),
  };
}
