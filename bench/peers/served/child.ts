/** The process that loads the model one way, and answers 1 client and then 8. */
import { type ClientRates, readTogether } from "../../../lab/read-together.js";
import { median } from "../statistics.js";
import { loadOurs, loadPeer } from "./engines.js";
import { ANSWER, CLIENTS, PROMPT, type ServedAnswer, type ServedJob } from "./protocol.js";

async function answer(job: ServedJob): Promise<ServedAnswer> {
  const open = await (job.runtime === "ours" ? loadOurs(job) : loadPeer(job));
  const rates: ClientRates[] = [];
  let info = "";
  for (const clients of CLIENTS) {
    const engine = await open(clients);
    const passes: ClientRates[] = [];
    for (let p = -1; p < job.passes; p++) {
      // Every runtime gets the same prompts.
      const prompts = Array.from({ length: clients }, (_, c) =>
        Array.from({ length: PROMPT }, (_, i) => ((i + PROMPT * (c + 8 * (p + 1))) * 7919 + 13) % job.vocabSize),
      );
      await engine.reset();
      const found = await readTogether(() => engine.answer(prompts), ANSWER);
      if (p >= 0) passes.push(found);
    }
    await engine.close();
    ({ info } = engine);
    rates.push({
      writing: median(passes.map(({ writing }) => writing)),
      whole: median(passes.map(({ whole }) => whole)),
    });
  }
  return { kind: "rates", info, rates };
}

const given = JSON.parse(process.argv[2]!) as ServedJob;
const found = await answer(given).catch((error: unknown): ServedAnswer => ({
  kind: "failed",
  reason: error instanceof Error ? error.message : String(error),
}));
process.send!(found, () => process.exit(0));
