/** The observer interface of decoding: the events that an observer receives, and the thresholds that it sets. */
import { attachHeads, createPolicy, generate } from "early-exits";
import type { DecodeEvent } from "../../../src/exits/decode/observe.js";
import type { DecodeObserver, Threshold } from "early-exits/exits";
import { expect, it } from "vitest";
import { generated } from "../../support/generated.js";
import { randomIds, smallModel } from "../../support/models.js";
import { expectCode } from "../../support/expect-code.js";

const heads = attachHeads(await smallModel(), { exits: [1, 2, 3] });

async function tokensOf(thresholds: readonly Threshold[], observer?: DecodeObserver) {
  const policy = createPolicy(heads, thresholds);
  return (await generated(heads, randomIds(5, 61, 3), { policy, ...(observer && { observer }) })).tokens;
}

it("receives an event for every head that was evaluated, and changes nothing by listening", async () => {
  const events: DecodeEvent[] = [];
  const thresholds = [3.76, "never", 3.75] as const;
  const tokens = await tokensOf(thresholds, { observe: (event) => events.push(event) });
  expect(tokens).toEqual(await tokensOf(thresholds));
  const expected = tokens.flatMap(({ exit, score }, i) => {
    const position = 4 + i;
    const received = events.filter((event) => event.type === "exit" && event.position === position);
    if (exit === 0) expect(received).toEqual([{ type: "exit", position, exit: 0, depth: 1, score, left: true }]);
    else {
      expect(received).toMatchObject([
        { exit: 0, depth: 1, left: false },
        { exit: 2, depth: 3, left: exit === 2 },
      ]);
    }
    return received;
  });
  expect(expected).toEqual(events);
  expect(new Set(tokens.map(({ exit }) => exit)).size).toBeGreaterThan(1); // otherwise the case shows little
});

it("may set the thresholds for each token", async () => {
  let count = 0;
  const observer: DecodeObserver = {
    observe: () => undefined,
    thresholds: () => (count++ % 2 === 0 ? undefined : ["never", "always", "never"]),
  };
  expect((await tokensOf(["always", "never", "never"], observer)).map(({ exit }) => exit)).toEqual(
    Array.from({ length: 12 }, (_, i) => i % 2),
  );
});

it("is refused with the wrong number of thresholds, or without a policy", async () => {
  await expectCode(tokensOf([1, 1, 1], { observe: () => undefined, thresholds: () => ["never"] }), "policy-exits");
  expect(() => generate(heads, [1], { observer: { observe: () => undefined } })).toThrow(/an observer needs a policy/);
});
