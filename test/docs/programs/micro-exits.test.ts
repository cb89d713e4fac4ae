/** examples/micro-exits.ts at a tenth of its steps. */
import { execFileSync } from "node:child_process";
import { expect, it } from "vitest";

it("learns, keeps what it certifies on other passages, and writes without loss, or it would not reach its end", () => {
  const out = execFileSync("npx", ["tsx", "examples/micro-exits.ts", "70"], { encoding: "utf8" });
  const losses = out.match(/(?<=loss )\S+/g)!.map(Number);
  expect(losses[4]).toBeLessThan(losses[0]! - 0.5);
  const [agreement, depth, times] = out.match(/^agreement (\S+) % .*certified: 90 %.* (\S+) of 6, (\S+) /m)!.slice(1);
  expect(Number(agreement)).toBeGreaterThanOrEqual(90);
  expect(Number(depth)).toBeLessThan(6);
  expect(Number(times)).toBeGreaterThan(1);
});
