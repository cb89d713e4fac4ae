/**
 * Tasks in a conversation whose answers can be judged without an opinion:
 *   words     write a sentence with a given word; right if it is in the answer as it is
 *   letters   name the right one of several choices; right if its letter is the first in the answer
 */

export interface ChatTask {
  /** The user's message. */
  readonly prompt: string;
  isRight(answer: string): boolean;
}

/** The words that tasks are made of have this form, so that they are found wherever they stand. */
const WORD = /^[a-z]{3,}$/;

/** Asks for a sentence with each of the distinct words, in their order; words of another form are left out. */
export function wordTasks(words: readonly string[]): ChatTask[] {
  const distinct = new Set(words.map((word) => word.trim().toLowerCase()).filter((word) => WORD.test(word)));
  return [...distinct].map((word): ChatTask => {
    const whole = new RegExp(`\\b${word}\\b`, "i");
    return { prompt: `Write a sentence with the word "${word}".`, isRight: (answer) => whole.test(answer) };
  });
}

/** A question with choices, of which the one at index `gold` is right. */
export interface Question {
  readonly query: string;
  readonly choices: readonly string[];
  readonly gold: number;
}

/** Asks a question whose choices have letters. */
export function letterTask({ query, choices, gold }: Question): ChatTask {
  const letterOf = (index: number): string => String.fromCharCode("A".charCodeAt(0) + index);
  const listed = choices.map((choice, i) => `${letterOf(i)}. ${choice}`);
  return {
    prompt: [query.replace(/^Question: /, ""), ...listed, "Answer with the letter."].join("\n"),
    isRight: (answer) => /(?:^|\W)([A-Z])(?=[.):,]|\s*$)/m.exec(answer)?.[1] === letterOf(gold),
  };
}
