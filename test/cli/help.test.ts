/** Help texts state the defaults that run: each is printed from the object that the code uses. */
import { describe, expect, it } from "vitest";
import { libraryDefaults } from "early-exits/node";
import { commands, createProgram } from "../../apps/cli/program.js";
import { cli, succeed, testIo, words } from "./support.js";

const program = createProgram(testIo(), () => Promise.resolve());

/** Option name -> the default in its help text. */
function statedDefaults(name: string) {
  const { options } = program.commands.find((command) => command.name() === name)!;
  return Object.fromEntries(
    options.flatMap((option) => {
      const stated = /\(default: ([^;)]*)/.exec(option.description)?.[1];
      return stated === undefined ? [] : [[option.attributeName(), stated]];
    }),
  );
}

const asText = (defaults: object) =>
  Object.fromEntries(Object.entries(defaults).map(([name, value]) => [name, String(value)]));

it("every command has help with examples", async () => {
  const { out } = await succeed(["--help"]);
  expect(commands.length).toBe(11);
  for (const { name } of commands) {
    expect(out).toContain(`  ${name} `);
    const help = await cli(words`${name} --help`);
    expect(help.code).toBe(0);
    expect(help.out).toContain(`Examples:\n  $ early-exits ${name}`);
    expect(help.out).toContain("--json");
  }
});

describe.each(commands)("the help of $name", ({ name, defaults, options }) => {
  it("states every default that the command uses, and no other", () => {
    const notes = options.flatMap(({ defaultNote }) => defaultNote ?? []);
    const values = Object.entries(statedDefaults(name)).filter(([, stated]) => !notes.includes(stated));
    expect(Object.fromEntries(values)).toEqual(asText(defaults));
  });

  it("takes them from the defaults, not from its descriptions", () =>
    expect(options.map(({ description }) => description).filter((text) => /\bdefault:/.test(text))).toEqual([]));
});

it("defaults that a library function owns are that function's", () => {
  const { steps, batchSize: batch, sequenceLength: sequence, learningRate: lr } = libraryDefaults.train;
  const { agreement, delta, loss: certifiedLoss, seed } = libraryDefaults.certify;
  const { exits } = libraryDefaults.attach;
  const { resamples } = libraryDefaults.evaluate;
  const { temperature, topK, topP } = libraryDefaults.sampling;
  const expected: Readonly<Record<string, object>> = {
    plan: { fill: libraryDefaults.plan.fill, agreement },
    train: { exits, steps, batch, sequence, lr },
    calibrate: { agreement, delta, loss: certifiedLoss, seed },
    eval: { resamples, seed: libraryDefaults.evaluate.seed },
    generate: { temperature, topK, topP, ...libraryDefaults.generate },
    chat: { temperature, topK, topP, ...libraryDefaults.chat },
    demo: { agreement },
  };
  for (const [name, defaults] of Object.entries(expected)) {
    expect(statedDefaults(name)).toMatchObject(asText(defaults));
  }
});
