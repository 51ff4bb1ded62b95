import { chart } from "../bench/_chart.ts";
import { workloads } from "../bench/_workloads.ts";
import { writeFileSync } from "node:fs";
const results = workloads(100000).flatMap((w) => [false,true].map((delayed) => ({...w, delayed, ways: w.ways.map((way, i) => {
  const r = i===0?1: Math.exp(Math.random()*3-2); return {...way, rounds:5, messages:1, ratio:{median:r,low:r*0.85,high:r*1.15}, rate:{median:1,low:1,high:1}, latency:{p50:1,p99:1}, cpu:1, memory:1}; })})));
writeFileSync("/tmp/h/scratch/c.svg", chart({date:"2026-11-21", machine:"Intel(R) Xeon(R) Processor, 2 cores, 24 GB, Node 20.20.2, PostgreSQL 18.4 (embedded) on the same machine, fsync on", results} as any));
