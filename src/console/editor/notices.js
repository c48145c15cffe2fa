// The licences of the packages that a bundle has something of.
import { existsSync, readFileSync, readdirSync } from "node:fs";

const meta = JSON.parse(readFileSync(process.argv[2], "utf8"));
const inBundle = new Set();
for (const output of Object.values(meta.outputs)) {
  for (const [file, used] of Object.entries(output.inputs)) {
    const name = file.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)\//);
    if (name && used.bytesInOutput > 0) inBundle.add(name[1]);
  }
}
console.log("editor.js has parts of these packages. Their licences are below.\n");
for (const name of [...inBundle].sort()) {
  const folder = "node_modules/" + name;
  const about = JSON.parse(readFileSync(folder + "/package.json", "utf8"));
  const licence = readdirSync(folder).find((file) => /^licen[cs]e/i.test(file));
  if (!licence || !existsSync(folder + "/" + licence)) throw new Error(name + " has no licence file");
  console.log("-".repeat(78) + "\n" + name + " " + about.version + " (" + about.license + ")\n");
  console.log(readFileSync(folder + "/" + licence, "utf8").trim() + "\n");
}
