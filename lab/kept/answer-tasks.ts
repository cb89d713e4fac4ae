/** Answers to the tasks of a conversation, greedy, by the model alone and under policies. */
import { type ExitHeads, generateBatch, type Policy } from "early-exits";
import type { ChatTask } from "./chat-tasks.js";

/** One way of answering; arrays have one entry per task. */
interface AnsweredWay {
  /** Texts of the answers. */
  readonly answers: readonly string[];
  readonly right: readonly boolean[];
  /** Tokens of all answers. */
  readonly tokens: number;
  /** Mean number of blocks per token. */
  readonly meanDepth: number;
}

export interface AnswerOptions {
  /** null: exits off. */
  readonly policies: readonly (Policy | null)[];
  /** Of an answer, at most. */
  readonly maxNewTokens: number;
  /** Conversations decoded together; the answers do not depend on it. */
  readonly batchSize: number;
  /** Called after every way. */
  readonly onWay?: (way: number) => void;
}

/** Answers all tasks with each policy in turn. */
export async function answerTasks(
  heads: ExitHeads,
  tasks: readonly ChatTask[],
  { policies, maxNewTokens, batchSize, onWay }: AnswerOptions,
): Promise<AnsweredWay[]> {
  const prompts = tasks.map(({ prompt }) => [{ role: "user" as const, content: prompt }]);
  const ways: AnsweredWay[] = [];
  for (const [way, policy] of policies.entries()) {
    const run = generateBatch(heads, prompts, { ...(policy && { policy }), maxNewTokens, batchSize });
    const stream = run[Symbol.asyncIterator]();
    let ended = false;
    while (!ended) ended = (await stream.next()).done === true;
    const { summaries } = run;
    const tokens = summaries.reduce((sum, { newTokens }) => sum + newTokens, 0);
    const depths = summaries.reduce((sum, { newTokens, meanDepth }) => sum + newTokens * meanDepth, 0);
    ways.push({
      answers: summaries.map(({ text }) => text),
      right: summaries.map(({ text }, i) => tasks[i]!.isRight(text)),
      tokens,
      meanDepth: depths / tokens,
    });
    onWay?.(way);
  }
  return ways;
}
