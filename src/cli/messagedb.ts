#!/usr/bin/env node
import process from "node:process";
import { makeProgram } from "./program.ts";
import { runProgram } from "./terminal/run.ts";

await runProgram(makeProgram(), process.argv);
