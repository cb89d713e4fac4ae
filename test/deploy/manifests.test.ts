/** The recipes that nothing here can run: valid by the schemas of their formats, and their command lines exist. */
import { readFileSync } from "node:fs";
import { validate } from "dockerfile-utils";
import { Job } from "kubernetes-models/batch/v1";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { checkCommand } from "../../scripts/pages/commands.js";
import { readShard } from "../../apps/cli/shards.js";

const read = (name: string) => readFileSync(`deploy/${name}`, "utf8");
const jobIn = (text: string) => new Job(parse(text) as ConstructorParameters<typeof Job>[0]);
/** Arguments of the command line that a Job runs. */
const argumentsOf = ({ spec }: Job) => spec!.template.spec!.containers[0]!.args!;
const INDEXED = "kubernetes/indexed-job.yaml";
const RESULT = "kubernetes/result-job.yaml";

describe.each([INDEXED, RESULT])("%s", (name) => {
  it("is a Job by the schema that Kubernetes publishes", () =>
    expect(() => jobIn(read(name)).validate()).not.toThrow());

  it("runs a command line that exists", () => checkCommand(["npx", "early-exits", ...argumentsOf(jobIn(read(name)))]));
});

it.each([
  ["completions: 8", 'completions: "eight"'],
  ["restartPolicy: Never", "restartPolicy: 1"],
  ["          image: early-exits\n", "          image: [early-exits]\n"],
  ["  template:\n", "  pod:\n"],
])("the schema would refuse %j as %j", (good, bad) => {
  const text = read(INDEXED);
  expect(text).toContain(good);
  expect(() => jobIn(text.replace(good, bad)).validate()).toThrow();
});

it("the Indexed Job has as many completions as its command line has shards", () => {
  const job = jobIn(read(INDEXED));
  const { completions, completionMode } = job.spec!;
  const shard = argumentsOf(job).find((argument) => argument.startsWith("--shard="))!;
  expect(completionMode).toBe("Indexed");
  for (let index = 0; index < completions!; index++) {
    const told = readShard(shard.slice("--shard=".length), { JOB_COMPLETION_INDEX: String(index) });
    expect(told).toEqual({ index, of: completions });
  }
});

it("the Job that makes the result has the shards' command line, without --shard", () => {
  const shard = argumentsOf(jobIn(read(INDEXED))).filter((argument) => !argument.startsWith("--shard="));
  expect(argumentsOf(jobIn(read(RESULT)))).toEqual([...shard, "--out=policy.json"]);
});

describe("the Dockerfile", () => {
  const problems = (text: string): unknown[] => validate(text).map(({ message }) => message);

  it("is valid", () => expect(problems(read("Dockerfile"))).toEqual([]));

  it("would be refused with an instruction that does not exist, or without a stage to copy from", () => {
    expect(problems(read("Dockerfile").replace("WORKDIR /data", "WORKDIRS /data"))).not.toEqual([]);
    expect(problems(read("Dockerfile").replace(/^FROM.*$/gm, ""))).not.toEqual([]);
  });

  it("copies files that exist, and starts the command that package.json names", () => {
    const [, files] = /^COPY (package.json .*) \.\/$/m.exec(read("Dockerfile"))!;
    for (const file of files!.split(" ")) expect(readFileSync(file, "utf8")).not.toBe("");
    const { bin } = JSON.parse(readFileSync("package.json", "utf8")) as { readonly bin: Record<string, string> };
    const [, started] = /^ENTRYPOINT (.*)$/m.exec(read("Dockerfile"))!;
    expect(JSON.parse(started!)).toEqual(Object.keys(bin));
  });
});
