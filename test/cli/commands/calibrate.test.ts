/** `calibrate`, and `certificate verify`, which reads its file, on one tiny model. */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { calibrateCommand } from "../../../apps/cli/commands/calibrate.js";
import { cli, parseJson, pipeline, refused, sentences, succeed, words, writeText } from "../support.js";

const { folder, heads, held, model, policy, text } = await pipeline();

const many = writeText(folder.path("many.txt"), sentences(60, 300));
const out = folder.path("certified.json");
const line = words`calibrate ${model} --heads ${heads} --text ${many} --agreement .3 --delta .1 --device reference`;

it("writes a certified policy by default, and prints its promise", async () => {
  const first = await cli(words`${line} --store ${folder.path("records")} --out ${out}`);
  expect(first.out).toMatch(
    /certified: at least 30 % .* in texts of at most 64 tokens, .*, with probability 90 %; 3\d documents tested/,
  );
  expect(first.out, "the context of the model has room for no more").toContain(
    "documents are longer than 64 tokens, and only their beginning is judged",
  );
  expect(parseJson(readFileSync(out, "utf8"))).toMatchObject({
    format: "early-exits/certificate",
    furtherUnits: 0,
    policy: { agreement: 0.3, certified: { loss: "token" } },
  });
  expect(existsSync(folder.path("records"))).toBe(true);
});

it("writes a file that can be verified, alone and by running the policy", async () => {
  expect((await cli(words`certificate ${out}`)).out).toMatch(/^Arithmetic consistent: .*\ncertified: /);
  const onModel = words`certificate verify ${out} --model ${model} --heads ${heads} --device reference`;
  expect((await cli(words`${onModel} --text ${many}`)).out).toMatch(/^Reproduced from model, heads and text: /);
  expect(await refused(words`${onModel} --text ${held}`)).toContain("are not among those given");
  const changed = writeText(folder.path("changed.json"), [
    readFileSync(out, "utf8").replace('"delta":0.1', '"delta":0.01'),
  ]);
  expect(await refused(words`certificate verify ${changed}`)).toContain("the file was changed");
  await refused(words`certificate make ${out}`, 2);
});

it("promises answers by a module's loss, which verification runs if it is named there", async () => {
  const tasks = writeText(
    folder.path("tasks.jsonl"),
    sentences(30, 900).map((prompt) => JSON.stringify({ prompt: prompt.slice(0, 20) })),
  );
  const loss = writeText(folder.path("loss.mjs"), ["export default () => 0.01;"]);
  const asked = words`--heads ${heads} --prompts ${tasks} --loss ${loss} --device reference`;
  const file = folder.path("answers.json");
  const { out: said } = await succeed(words`
    calibrate ${model} ${asked} --epsilon .9 --delta .3 --max-new-tokens 9 --out ${file}`);
  expect(said).toMatch(/certified: (on prompts like these, answered with at most 9 tokens, at most 0|no policy)/);
  const verified = await succeed(words`certificate verify ${file} --model ${model} ${asked}`);
  expect(verified.out).toMatch(/^Reproduced from model, heads and prompts, which were answered again: /);
  await refused(words`calibrate ${model} ${asked} --epsilon .9 --agreement .9`, 2);
});

it("certifies several levels together, and warns of a second seed on the same documents", async () => {
  const { out: said } = await succeed(words`${line} --agreement .3,.2 --seed 1 --out ${folder.path("levels.json")}`);
  expect(said).toContain("one of 2 certificates made together, among which delta is divided: with probability 90 %");
  expect(existsSync(folder.path("levels-30.json")) && existsSync(folder.path("levels-20.json"))).toBe(true);
  // two choices are too few for three seeds
  expect((await succeed(words`${line} --seed 2 --choices 2`)).out).toContain("were split with seed");
});

it("certifies another dtype against float32, which verification compares with too", async () => {
  const file = folder.path("stored.json");
  await succeed(words`${line} --dtype bfloat16 --against float32 --candidates 0 --out ${file}`);
  expect(parseJson(readFileSync(file, "utf8"))).toMatchObject({
    reference: { kind: "other", dtype: "float32" },
    settings: { candidates: 0 },
    test: { planned: 1, accepted: 1 },
  });
  const subject = words`--heads ${heads} --text ${many} --device reference`;
  const verified = await succeed(words`certificate verify ${file} --model ${model} ${subject}`);
  expect(verified.out).toMatch(/^Reproduced from model, heads and text: .*\ncertified: at least 30 %/);
  const none = words`--agreement .9999 --out ${file}`;
  const { out: said } = await succeed(words`${line} --dtype bfloat16 --against float32 --candidates 0 ${none}`);
  expect(said).toContain("and nothing is promised of it either");
  const nothing = await succeed(words`certificate verify ${file} --model ${model} ${subject}`);
  expect(nothing.out).toContain("nothing could be certified against the float32 model");
});

it("keeps the groups of a folder's files for a policy's own text", async () => {
  const files = folder.path("groups");
  mkdirSync(files);
  for (let i = 0; i < 12; i++) writeText(join(files, `${i}.txt`), sentences(4, 400 + 4 * i));
  const file = folder.path("own-groups.json");
  const own = words`calibrate ${model} --heads ${heads} --text ${files} --agreement .3 --delta .3 --device reference`;
  await succeed(words`${own} --own-text 4 --candidates 2 --out ${file}`);
  const written = parseJson(readFileSync(file, "utf8")) as { documents: { group: string }[]; unit: string };
  expect(written.unit).toBe("group");
  expect(new Set(written.documents.map(({ group }) => group)).size).toBe(6);
  const onModel = words`certificate verify ${file} --model ${model} --heads ${heads} --text ${files}`;
  expect((await succeed(words`${onModel} --device reference`)).out).toMatch(/^Counts reproduced from /);
});

it("refuses groups as units where documents have none, before it looks at a document", async () => {
  for (const options of [words`--text ${many}`, words`--text ${many} --store ${folder.path("s")} --shard 0/2`]) {
    const asked = words`calibrate ${model} --heads ${heads} --unit group --device reference ${options}`;
    expect(await refused(asked, 2)).toContain("--unit group needs documents with groups");
  }
});

it("certifies any change, and with another fill, score and seed", async () => {
  for (const options of [
    words`--loss any-change`,
    words`--fill project`,
    words`--unit document --score margin --seed 3`,
  ]) {
    const { out } = await succeed(words`${line} ${options} --documents 20`);
    expect(out).toMatch(/certified: /);
    for (const option of options) expect(out.split("next:")[1]).toContain(option); // the same command, with --out
  }
  const some = folder.path("some.json");
  await succeed(words`${line} --fill project --documents 20 --out ${some}`);
  const verify = words`certificate verify ${some} --model ${model} --heads ${heads} --device reference`;
  const larger = await succeed(words`${verify} --text ${many}`);
  expect(larger.out).toMatch(/^Policy supported: .*it names 20 of the 60 documents given/);
  expect((await succeed(words`${verify} --text ${many} --limit 9`)).out).toContain("the limit is 9)");
});

it("refuses a loss that sampled text does not have, and exits that it cannot certify", async () => {
  const sampled = words`${line} --loss any-change --temperature 1`;
  expect(await refused(sampled)).toContain("sampled tokens change in part");
  const byDefault = words`calibrate ${model} --heads ${heads} --text ${many} --device reference`;
  expect((await cli(words`${byDefault} --documents 4`)).out).toMatch(
    /proven to keep 95 % on 2 documents, so this one never exits; .*decide how many[^]*\n {2}calibrate on more/,
  );
});

it("runs with the defaults that its help states", async () => {
  const { out: json } = await succeed(words`
      calibrate ${model} --heads ${heads} --text ${many} --documents 20 --device reference --json`);
  const { agreement, delta, loss } = calibrateCommand.defaults;
  expect(parseJson(json)).toMatchObject({
    policy: { agreement, fill: "lazy" }, // no blocks share keys and values
    certificate: { agreement, delta, loss, unit: "document" },
  });
});

it("writes the paper's policy on request, and says that it has no guarantee", async () => {
  const file = parseJson(readFileSync(policy, "utf8"));
  expect(file).toMatchObject({
    policy: { format: "early-exits/policy", agreement: 0.6, exits: [{ depth: 1 }, { depth: 2 }] },
    certificate: { procedure: "paper", guarantee: "none" },
  });
  const { out } = await cli(
    words`
        calibrate ${model} --heads ${heads} --text ${held} --documents 3 --paper --score margin
        --fill project --device reference`,
  );
  expect(out).toContain("carries no guarantee");
  expect(out).toContain("3 documents");
});

it("leaves out text that taught the heads, says how much, and refuses if too little remains", async () => {
  const asked = words`calibrate ${model} --heads ${heads} --agreement .3 --delta .3 --device reference`;
  const documents = readFileSync(text, "utf8").split("\n\n");
  const shorter = folder.path("shorter.txt");
  writeText(shorter, documents.slice(0, -1));
  expect(await refused(words`${asked} --text ${shorter}`)).toMatch(/the text of \d+ of \d+ documents taught the heads/);
  const mixed = folder.path("mixed.txt");
  writeText(mixed, [...documents.slice(0, 3), ...readFileSync(many, "utf8").split("\n\n")]);
  expect((await succeed(words`${asked} --text ${mixed}`)).out).toContain(
    "3 documents left out: the heads were taught by their text",
  );
});
