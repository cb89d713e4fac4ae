/** inspect, eval, train, calibrate and generate on one tiny model, each command as a user would type it. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { main } from "../../src/cli/program.js";
import { cli, scratch, sentences, testIo, tinyModel, writeText } from "./support.js";

const folder = scratch();
const model = folder.path("model");
const heads = folder.path("heads");
const policy = folder.path("policy.json");
const text = writeText(folder.path("text.txt"), sentences(60));
const held = writeText(folder.path("held.txt"), sentences(12, 100));
const train = [
  "train",
  model,
  "--text",
  text,
  "--exits",
  "1,2",
  "--steps",
  "12",
  "--batch",
  "4",
  "--sequence",
  "32",
  "--device",
  "reference",
];
const parse = (json: string): Record<string, unknown> => JSON.parse(json) as Record<string, unknown>;

beforeAll(async () => {
  expect(
    (await cli(["pretrain", "--text", text, "--out", model, ...tinyModel, "--steps", "30", "--lr", "0.02"])).code,
  ).toBe(0);
  expect((await cli([...train, "--out", heads])).code).toBe(0);
  expect(
    (
      await cli([
        "calibrate",
        model,
        "--heads",
        heads,
        "--text",
        held,
        "--procedure",
        "paper",
        "--agreement",
        ".6",
        "--out",
        policy,
        "--device",
        "reference",
      ])
    ).code,
  ).toBe(0);
});
afterAll(folder.remove);

describe("early-exits inspect", () => {
  it("tells what is there, where exits could go and what a head costs", async () => {
    const { code, out } = await cli(["inspect", model]);
    expect(code).toBe(0);
    for (const fact of [
      "llama",
      "stored as BF16",
      "2 of 8, 1 for keys and values",
      "tokenizer       280 entries",
      "unused tensors  none",
    ]) {
      expect(out).toContain(fact);
    }
    const json = parse((await cli(["inspect", model, "--json"])).out);
    // C = 16, H·D = 16, G·D = 8, F = 32, T = 64: 2·16·16 + 2·16·8 + 2·64·16 + 3·16·32
    expect(json).toMatchObject({
      dtypes: { BF16: json["parameters"] },
      missingTensors: [],
      placements: { v1: { 1: [2], 2: [2, 3] }, v2: { 1: [2], 2: [2, 3] } },
      cost: {
        context: 64,
        blockMultiplyAdds: 4352,
        heads: [{ kind: "dense", multiplyAdds: 16 * 280, blocks: (16 * 280) / 4352 }, {}, {}, {}, {}],
      },
    });
  });
});

describe("early-exits plan", () => {
  it("says from config.json alone whether exits can pay, by kind and placement", async () => {
    const { code, out } = await cli(["plan", model]);
    expect(code).toBe(0);
    expect(out).toMatch(/dense +2 +1\.03 blocks +\d+ % +\d\.\d\dx/);
    expect(out).toMatch(/\nExits .* heads after block .* break even where \d+ % of the tokens leave\.\n/);
    expect(parse((await cli(["plan", model, "--fill", "lazy", "--json"])).out)).toMatchObject({
      fill: "lazy",
      measured: null,
      plans: [{ kind: "dense", depths: [2] }, {}, {}, {}, {}, {}, {}, {}, {}, {}],
    });
  });

  it("and from measurements, with heads and text", async () => {
    const { out } = await cli([
      "plan",
      model,
      "--heads",
      heads,
      "--text",
      held,
      "--agreement",
      ".6",
      "--device",
      "reference",
      "--json",
    ]);
    const { measured } = parse(out) as {
      measured: {
        plain: number;
        fill: string;
        scores: { score: string; speedup: number }[];
        lossless: { depth: number; acceptance: number }[];
      };
    };
    expect(measured.fill).toBe("propagate");
    expect(measured.plain).toBeGreaterThan(0);
    expect(measured.scores.map(({ score }) => score)).toEqual(["entropy", "maxProb", "margin", "probGap"]);
    expect(measured.scores.every(({ speedup }) => speedup > 0)).toBe(true);
    expect(measured.lossless.map(({ depth }) => depth)).toEqual([1, 2]);
    expect(
      (await cli(["plan", model, "--heads", heads, "--text", held, "--agreement", ".6", "--device", "reference"])).out,
    ).toContain("lossless, drafting at one exit whatever its score:");
    expect(await cli(["plan", model, "--heads", heads])).toMatchObject({ code: 2 });
  });
});

describe("early-exits eval", () => {
  const task = folder.path("task.jsonl");
  const items = ["the house holds", "a river follows", "our union remembers"].map((query, i) => ({
    query,
    choices: ["our union.", "the winter.", "one\u2028people."],
    gold: i,
  }));
  const evaluate = ["eval", model, "--task", task, "--kind", "multiple-choice", "--device", "reference"];
  beforeAll(() => writeFileSync(task, `${items.map((item) => JSON.stringify(item)).join("\n")}\n\n`));

  it("scores a task with exits off, and by policies beside that", async () => {
    const { code, out, err } = await cli([...evaluate, "--heads", heads, "--policy", policy]);
    expect(code).toBe(0);
    expect(err).toContain("eval 3/3  items,");
    expect(out).toMatch(
      /^multiple-choice: 3 items, \d+ tokens scored; in brackets 95 % intervals over resampled items\n +acc +acc_norm +agreement +mean depth\n +exits off +\d+\.\d \[.*\] +\d+\.\d \[.*\] +100\.0 % +3\.00 of 3\n +policy /,
    );
    expect(out).toMatch(/\nAgainst exits off, on the same items:\n +acc +acc_norm\n +policy +[+-]\d+\.\d \[/);
    const json = parse(
      (await cli([...evaluate, "--heads", heads, "--policy", policy, policy, "--limit", "2", "--json"])).out,
    );
    expect(json).toMatchObject({
      task,
      format: "early-exits/evaluation",
      items: 2,
      ways: [{ policy: null, meanDepth: 3 }, {}, {}],
    });
    const [, one, two] = json["ways"] as unknown[];
    expect(one).toEqual(two);
  });

  it("measures perplexity on text, and knows which lines are wrong before it begins", async () => {
    const perplexity = parse(
      (
        await cli([
          "eval",
          model,
          "--task",
          held,
          "--kind",
          "perplexity",
          "--limit",
          "4",
          "--json",
          "--device",
          "reference",
        ])
      ).out,
    );
    expect(perplexity).toMatchObject({ kind: "perplexity", items: 4 });
    const broken = folder.path("broken.jsonl");
    writeFileSync(broken, `${JSON.stringify(items[0])}\n\n${JSON.stringify({ ...items[1], choices: ["a", ""] })}\n`);
    const { code, out, err } = await cli(["eval", model, "--task", broken, "--kind", "multiple-choice", "--json"]);
    expect(code).toBe(1);
    expect(err).toBe(
      'error: task, line 3: "choices"[1] is empty; a line of a multiple-choice task is {"query", "choices", ' +
        '"gold"}, {"ctx", "endings", "label"}, or {"context_options", "continuation", "gold"}\n',
    );
    expect(parse(out)).toMatchObject({ error: { code: "task-line", details: { line: 3 } } });
    expect((await cli(["eval", model, "--task", folder.path("none.jsonl"), "--kind", "lambada"])).err).toMatch(
      /none\.jsonl: cannot be read \(ENOENT\)/,
    );
    expect(await cli([...evaluate, "--policy", policy])).toMatchObject({ code: 2 });
    expect(await cli(["eval", model, "--task", task])).toMatchObject({ code: 2 });
  });
});

describe("early-exits train", () => {
  it("writes heads, says how agreement rose, and repeats itself byte for byte", async () => {
    expect(readdirSync(heads).sort()).toEqual(["heads.json", "heads.safetensors", "training.json"]);
    const { out, err } = await cli([...train, "--out", folder.path("twin"), "--json"]);
    const result = parse(out);
    expect(result).toMatchObject({ depths: [1, 2], options: { kind: "dense", loss: "kl", steps: 12 } });
    expect((result["agreement"] as number[]).length).toBe(2);
    expect(err).toContain("train 12/12");
    expect(
      readFileSync(folder.path("twin", "heads.safetensors")).equals(readFileSync(`${heads}/heads.safetensors`)),
    ).toBe(true);
  });

  it("keeps its state on an interrupt and resumes bit for bit", async () => {
    const out = folder.path("resumed");
    const io = testIo({
      tick: 5000,
      onErr: (line, self) => {
        if (line.includes("train 5/12")) self.interrupt();
      },
    });
    expect(await main([...train, "--out", out], io)).toBe(130);
    expect(existsSync(`${out}/heads.safetensors`)).toBe(false);
    const { code, err } = await cli([
      "train",
      model,
      "--text",
      text,
      "--out",
      out,
      "--resume",
      "--device",
      "reference",
    ]);
    expect(err).toContain("resuming after step 5");
    expect(code).toBe(0);
    expect(readFileSync(`${out}/heads.safetensors`).equals(readFileSync(`${heads}/heads.safetensors`))).toBe(true);
  });

  it("trains from a cache of hidden states, which it reuses", async () => {
    const cached = (out: string) =>
      cli([...train, "--kind", "tied", "--cache", folder.path("cache"), "--out", folder.path(out)]);
    const first = await cached("cached");
    expect(first).toMatchObject({ code: 0 });
    expect((await cached("cached-again")).err).toContain("shards (kept)");
    expect(
      readFileSync(folder.path("cached", "heads.safetensors")).equals(
        readFileSync(folder.path("cached-again", "heads.safetensors")),
      ),
    ).toBe(true);
  });

  it("trains on the model's own text, with the paper's first loss", async () => {
    const { code, out, err } = await cli([
      "train",
      model,
      "--self",
      "4",
      "--exits",
      "2",
      "--placement",
      "v1",
      "--loss",
      "penalized",
      "--weight",
      ".5",
      "--steps",
      "2",
      "--batch",
      "2",
      "--sequence",
      "16",
      "--out",
      folder.path("self"),
      "--device",
      "reference",
      "--json",
    ]);
    expect(code).toBe(0);
    expect(err).toContain("sample 4/4");
    expect(parse(out)).toMatchObject({
      depths: [2, 3],
      text: null,
      options: { self: 4, loss: "penalized", weight: 0.5 },
    });
  });
});

describe("early-exits calibrate", () => {
  it("writes a certified policy by default, and says what it promises", async () => {
    const many = writeText(folder.path("many.txt"), sentences(60, 300));
    const out = folder.path("certified.json");
    const line = [
      "calibrate",
      model,
      "--heads",
      heads,
      "--text",
      many,
      "--agreement",
      ".3",
      "--delta",
      ".1",
      "--device",
      "reference",
    ];
    const first = await cli([...line, "--store", folder.path("records"), "--out", out]);
    expect(first.out).toMatch(
      /certified: an agreement of 30\.0 % of each document's tokens, on average, with probability 90\.0 %; 36 documents tested/,
    );
    expect(parse(readFileSync(out, "utf8"))).toMatchObject({
      policy: { agreement: 0.3, certified: { claim: "overall" } },
      certificate: { format: "early-exits/certificate", furtherUnits: 0 },
    });
    expect(existsSync(folder.path("records"))).toBe(true);
    // What it wrote can be checked, alone and by running the policy; a changed file, or other text, is refused with the
    // reason.
    expect((await cli(["certificate", "verify", out])).out).toMatch(/^valid: it agrees with itself\ncertified: /);
    const reality = ["--model", model, "--heads", heads, "--text", many, "--device", "reference"];
    expect((await cli(["certificate", "verify", out, ...reality])).out).toContain("the policy run on the documents");
    expect(await cli(["certificate", "verify", out, ...reality.with(5, held)])).toMatchObject({
      code: 1,
      err: expect.stringContaining("is not among them") as string,
    });
    const changed = writeText(folder.path("changed.json"), [
      readFileSync(out, "utf8").replace('"delta":0.1', '"delta":0.01'),
    ]);
    expect(await cli(["certificate", "verify", changed])).toMatchObject({
      code: 1,
      err: expect.stringContaining("does not hold: the digest does not match: the file was changed") as string,
    });
    expect((await cli(["certificate", "make", out])).code).toBe(2);
    const reported = await cli([
      "report",
      model,
      "--heads",
      heads,
      "--text",
      many,
      "--policy",
      out,
      "--documents",
      "20",
      "--svg",
      folder.path("curves.svg"),
      "--device",
      "reference",
    ]);
    expect(reported.out).toMatch(
      /AUROC[\s\S]*Earliest agreeing exit \(oracle\): mean depth [\s\S]*This policy: mean depth/,
    );
    expect(readFileSync(folder.path("curves.svg"), "utf8")).toMatch(/^<svg [\s\S]*depth 2<\/text>[\s\S]*<\/svg>\n$/);
    for (const options of [
      ["--claim", "selective", "--unit", "token"],
      ["--claim", "any-change"],
      ["--procedure", "bonferroni", "--fill", "propagate"],
      ["--procedure", "crc", "--score", "margin", "--seed", "3"],
    ]) {
      const { code, out: text } = await cli([...line, ...options, "--documents", "20"]);
      expect(code, options.join(" ")).toBe(0);
      expect(text, options.join(" ")).toMatch(/certified: /);
    }
    expect(await cli([...line, "--unit", "token"])).toMatchObject({
      code: 1,
      err: expect.stringContaining(
        'claim "overall" is about documents; unit "token" goes with claim "selective"',
      ) as string,
    });
    expect((await cli([...line.slice(0, -6), "--documents", "4", "--device", "reference"])).out).toMatch(
      /not certified: no policy with exits was proven to keep 95\.0 % on 2 documents; this one never exits/,
    );
  });

  it("writes the paper's policy with its report on request, and says that there is no guarantee", async () => {
    const file = parse(readFileSync(policy, "utf8"));
    expect(file).toMatchObject({
      policy: { format: "early-exits/policy", agreement: 0.6, exits: [{ depth: 1 }, { depth: 2 }] },
      certificate: { procedure: "paper", guarantee: "none" },
    });
    const { out } = await cli([
      "calibrate",
      model,
      "--heads",
      heads,
      "--text",
      held,
      "--documents",
      "3",
      "--procedure",
      "paper",
      "--score",
      "margin",
      "--fill",
      "propagate",
      "--device",
      "reference",
    ]);
    expect(out).toContain("carries no guarantee");
    expect(out).toContain("3 documents");
  });

  it("writes the released code's schema, for the scores it knows", async () => {
    const line = [
      "calibrate",
      model,
      "--heads",
      heads,
      "--text",
      held,
      "--released",
      folder.path("released.json"),
      "--device",
      "reference",
    ];
    expect((await cli([...line, "--score", "maxProb", "--json"])).code).toBe(0);
    expect(parse(readFileSync(folder.path("released.json"), "utf8"))).toMatchObject({
      uncertainty_metric: "confidence",
      calibration_samples: 12,
    });
    expect(await cli([...line, "--score", "margin"])).toMatchObject({
      code: 1,
      err:
        "error: calibrate: the released code's file knows entropy and maxProb, not margin; leave --released out, " +
        "or choose one of them\n",
    });
  });

  it("warns where the heads were trained on the same text", async () => {
    expect(
      (await cli(["calibrate", model, "--heads", heads, "--text", text, "--documents", "2", "--device", "reference"]))
        .err,
    ).toContain("warning: the heads were trained on this very text");
  });
});

describe("early-exits check-lossless", () => {
  const line = [
    "check-lossless",
    model,
    "--heads",
    heads,
    "--text",
    held,
    "--prompts",
    "3",
    "--prompt-tokens",
    "8",
    "--max-new-tokens",
    "10",
    "--device",
    "reference",
  ];

  it("says that all is equal to the bit, and what it cost", async () => {
    const { code, out, err } = await cli(line);
    expect(code).toBe(0);
    expect(out).toMatch(
      /^3 of 3 texts are the same, \d+ tokens compared; 100 % have the same bits of logits\n\d\.\d\d tokens per round, .* of the drafts accepted; weights read: .* of plain decoding's\n$/,
    );
    expect(err).toContain("no --policy");
  });

  it("drafts by a policy's thresholds, and prints one JSON object", async () => {
    const { out } = await cli([...line, "--policy", policy, "--draft-limit", "2", "--dtype", "int8", "--json"]);
    expect(parse(out)).toMatchObject({ backend: "reference", promised: true, prompts: 3, flips: 0 });
  });
});

describe("early-exits tune", () => {
  it("finds how to draft, for generate --lossless and check-lossless, and the text stays the model's", async () => {
    const drafting = folder.path("drafting.json");
    const { code, out, err } = await cli([
      "tune",
      model,
      "--heads",
      heads,
      "--text",
      held,
      "--prompts",
      "4",
      "--prompt-tokens",
      "6",
      "--max-new-tokens",
      "12",
      "--out",
      drafting,
      "--device",
      "reference",
    ]);
    expect(code).toBe(0);
    expect(err).toContain("texts written and recorded");
    expect(out).toMatch(
      /drafts where \w+ passes\n *depth 1 .*\n *depth 2 .*\n.*(drafts a round|Drafting does not pay)/s,
    );
    expect(parse(readFileSync(drafting, "utf8"))).toMatchObject({
      format: "early-exits/drafting",
      version: 1,
      policy: { exits: [{ depth: 1 }, { depth: 2 }] },
      expected: { plainCost: expect.any(Number) as number },
    });
    const line = ["generate", model, "--prompt", "the house", "--max-new-tokens", "12", "--device", "reference"];
    const plain = await cli(line);
    const lossless = await cli([...line, "--heads", heads, "--policy", drafting, "--lossless"]);
    expect(lossless.out).toBe(plain.out);
    const byPolicy = await cli([...line, "--heads", heads, "--policy", policy, "--lossless"]);
    expect(byPolicy.out).toBe(plain.out);
    expect(byPolicy.err).toMatch(/lossless: \d\.\d\d tokens a round, .* drafts accepted; the text is the full model's/);
    expect(await cli([...line, "--heads", heads, "--policy", drafting])).toMatchObject({
      code: 2,
      err: expect.stringContaining("promise no agreement; pass --lossless") as string,
    });
    expect(await cli([...line, "--lossless"])).toMatchObject({ code: 2 });
    expect(
      (
        await cli([
          "check-lossless",
          model,
          "--heads",
          heads,
          "--policy",
          drafting,
          "--text",
          held,
          "--prompts",
          "2",
          "--prompt-tokens",
          "8",
          "--max-new-tokens",
          "10",
          "--device",
          "reference",
        ])
      ).code,
    ).toBe(0);
  });

  it("takes generate's sampling options, in generate's ranges", async () => {
    const line = [
      "tune",
      model,
      "--heads",
      heads,
      "--text",
      held,
      "--prompts",
      "2",
      "--prompt-tokens",
      "6",
      "--max-new-tokens",
      "6",
      "--device",
      "reference",
    ];
    expect(
      (
        await cli([
          ...line,
          "--temperature",
          "1.5",
          "--top-k",
          "9",
          "--top-p",
          ".9",
          "--min-p",
          ".01",
          "--repetition-penalty",
          "1.1",
          "--seed",
          "3",
        ])
      ).code,
    ).toBe(0);
    expect(await cli([...line, "--temperature", "-1"])).toMatchObject({ code: 2 });
  });
});

describe("shortlist heads", () => {
  it("are trained on the tokens that the model predicts most, and speak of no others", async () => {
    const short = folder.path("short");
    const file = folder.path("short.json");
    expect(
      (
        await cli([
          ...train.slice(0, -2),
          "--kind",
          "shortlist",
          "--inner",
          "12",
          "--out",
          short,
          "--device",
          "reference",
        ])
      ).code,
    ).toBe(0);
    const { heads: described } = parse(readFileSync(`${short}/heads.json`, "utf8")) as {
      heads: { kind: string; shortlist: number[] }[];
    };
    expect(described.map(({ kind, shortlist }) => [kind, shortlist.length])).toEqual([
      ["shortlist", 12],
      ["shortlist", 12],
    ]);
    expect(
      (
        await cli([
          "calibrate",
          model,
          "--heads",
          short,
          "--text",
          held,
          "--procedure",
          "paper",
          "--agreement",
          ".3",
          "--score",
          "margin",
          "--out",
          file,
          "--device",
          "reference",
        ])
      ).code,
    ).toBe(0);
    const { out } = await cli([
      "generate",
      model,
      "--prompt",
      "the house",
      "--max-new-tokens",
      "12",
      "--heads",
      short,
      "--policy",
      file,
      "--device",
      "reference",
      "--json",
    ]);
    const { tokens } = parse(out) as { tokens: { id: number; exit: number | null }[] };
    expect(tokens.some(({ exit }) => exit !== null)).toBe(true);
    for (const { id, exit } of tokens) {
      if (exit !== null) expect(described[exit]!.shortlist).toContain(id);
    }
  });
});

describe("learned keys and values", () => {
  it("are fitted by train --project, and used by a policy that says so", async () => {
    const projected = folder.path("projected");
    const file = folder.path("project.json");
    const { err } = await cli([
      "train",
      model,
      "--text",
      text,
      "--exits",
      "1,2",
      "--kind",
      "tied",
      "--steps",
      "2",
      "--batch",
      "2",
      "--sequence",
      "16",
      "--project",
      "normalized",
      "--out",
      projected,
      "--device",
      "reference",
    ]);
    expect(err).toMatch(/fit \d+\/\d+ +batches/);
    expect(parse(readFileSync(`${projected}/heads.json`, "utf8"))).toMatchObject({
      version: 2,
      heads: [{ projection: "normalized" }, { projection: "normalized" }],
    });
    expect(
      (
        await cli([
          "calibrate",
          model,
          "--procedure",
          "paper",
          "--heads",
          projected,
          "--text",
          held,
          "--agreement",
          ".5",
          "--fill",
          "project",
          "--out",
          file,
          "--device",
          "reference",
        ])
      ).code,
    ).toBe(0);
    const { code, out } = await cli([
      "generate",
      model,
      "--prompt",
      "the house",
      "--max-new-tokens",
      "6",
      "--heads",
      projected,
      "--policy",
      file,
      "--device",
      "reference",
      "--json",
    ]);
    expect(code).toBe(0);
    const { summary } = parse(out) as { summary: { ledger: { decode: { fills: number }; steps: unknown[] } } };
    expect(summary.ledger.steps).toHaveLength(6);
    expect(summary.ledger.decode.fills).toBeGreaterThan(0);
  });
});

describe("early-exits generate", () => {
  const line = ["generate", model, "--prompt", "the house", "--max-new-tokens", "12", "--device", "reference"];
  const exits = [...line, "--heads", heads, "--policy", policy];

  it("writes the prompt and its continuation to stdout, and nothing else", async () => {
    const { code, out, err } = await cli(line);
    expect(code).toBe(0);
    expect(out).toMatch(/^the house.*\n$/s);
    expect(err).toMatch(/tokens\/s, first token after \d+ ms\nmean depth 3\.00 of 3 blocks\n$/);
    const bare = await cli([...line, "--no-echo"]);
    expect(`the house${bare.out}`).toBe(out);
  });

  it("without colour, exits or not, the text is plain; with colour it is the same text painted by depth", async () => {
    const plain = await cli(exits);
    const painted = await cli(exits, { color: true });
    expect(plain.out).not.toContain("\x1b");
    expect(painted.out).toContain("\x1b[32m");
    expect(painted.out.replace(/\x1b\[\d+m/g, "")).toBe(plain.out);
    expect(painted.err).toContain("legend: ");
    expect(plain.err).toMatch(/depth {2}[12] {2}#/);
  });

  it("prints one JSON object with tokens, depths and summary", async () => {
    const { out } = await cli([...exits, "--temperature", ".8", "--top-k", "20", "--seed", "5", "--json"]);
    const result = parse(out) as {
      text: string;
      tokens: { text: string; depth: number; exit: number | null }[];
      summary: { newTokens: number; depthCounts: number[] };
    };
    expect(result.tokens.map(({ text: piece }) => piece).join("")).toBe(result.text);
    expect(result.tokens.every(({ depth, exit }) => depth === (exit === null ? 3 : exit + 1))).toBe(true);
    expect(result.summary.newTokens).toBe(result.tokens.length);
    expect(out).toBe(
      (await cli([...exits, "--temperature", ".8", "--top-k", "20", "--seed", "5", "--json"])).out.replace(
        /"timeToFirstToken":[\d.]+,"tokensPerSecond":[\d.]+/,
        /"timeToFirstToken":[\d.]+,"tokensPerSecond":[\d.]+/.exec(out)![0],
      ),
    );
  });

  it("heads without a policy are the plain model, and it says so", async () => {
    const { out, err } = await cli([...line, "--heads", heads]);
    expect(err).toContain("exits are off");
    expect(out).toBe((await cli(line)).out);
  });

  it("refuses heads of another model in one sentence", async () => {
    expect(
      (await cli(["pretrain", "--text", text, "--out", folder.path("stranger"), ...tinyModel, "--steps", "1"])).code,
    ).toBe(0);
    const { code, err } = await cli([
      "generate",
      folder.path("stranger"),
      "--prompt",
      "the",
      "--heads",
      heads,
      "--device",
      "reference",
    ]);
    expect(code).toBe(1);
    expect(err.split("\n").at(-2)).toMatch(/^error: exit heads: they were trained for model/);
  });
});
