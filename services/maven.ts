// Jars by their Maven coordinates, with all that they need to run, in a folder of the downloads.
//
// Promises: the folder appears under its name only when it is complete, so that a fetch which died in the
// middle is done anew; two fetches never run at once, for Maven's own store is not made for that.
// Relies on Maven (`mvn`) on the PATH and on its own settings for where it fetches from.

import { existsSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { StartError } from '../src/main/start-error.ts';
import { CommandError, runCommand } from './command.ts';
import type { Downloads } from './server.ts';
import { inTurn } from './turns.ts';

// `group:artifact:version`, and a classifier behind it where there is one.
export type Jar = { readonly id: string; readonly without?: readonly string[] };

export type JarFolder = {
  // Of the folder in the downloads; holds the version.
  readonly folder: string;
  readonly title: string;
  readonly sizeMb: number;
  readonly jars: readonly Jar[];
  // What is made of the jars, in the folder that is not yet under its name.
  readonly finish?: (directory: string) => Promise<void>;
};

const plugin = 'org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies';
// 80 MB over a slow line.
const fetchTimeoutMs = 600_000;

// The folder, whose `lib` holds the jars.
export async function fetchJars(place: Downloads, wanted: JarFolder): Promise<string> {
  const directory = join(place.downloads, wanted.folder);
  const waiting = () => place.say('waits for another fetch with Maven');
  return await inTurn(join(place.downloads, 'maven.lock'), waiting, async () => {
    if (existsSync(directory)) return directory;
    place.say(`fetches ${wanted.title} with Maven, about ${wanted.sizeMb} MB`);
    const unfinished = `${directory}.unfinished`;
    await rm(unfinished, { recursive: true, force: true });
    await mkdir(unfinished, { recursive: true });
    await writeFile(join(unfinished, 'pom.xml'), projectOf(wanted.jars));
    const options = ['-q', '-B', '-C', '-Dstyle.color=never', '-DincludeScope=runtime'];
    const target = `-DoutputDirectory=${join(unfinished, 'lib')}`;
    try {
      await runCommand('mvn', [...options, target, plugin], { cwd: unfinished, timeoutMs: fetchTimeoutMs });
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      throw new StartError(
        error.isMissing
          ? `${wanted.title} comes by Maven, and mvn is not on the PATH: install Maven (the Debian package maven), ` +
              'or start a Docker engine.'
          : `${wanted.title} could not be fetched with Maven (${error.message}): mend that and start again.`,
      );
    }
    await wanted.finish?.(unfinished);
    await rename(unfinished, directory);
    return directory;
  });
}

function projectOf(jars: readonly Jar[]): string {
  const coordinates = (id: string) => {
    const [group, artifact, version, classifier] = id.split(':');
    const tags = `<groupId>${group}</groupId><artifactId>${artifact}</artifactId>`;
    if (version === undefined) return tags;
    const more = classifier === undefined ? '' : `<classifier>${classifier}</classifier>`;
    return `${tags}<version>${version}</version>${more}`;
  };
  const exclusions = (without: readonly string[]) =>
    `<exclusions>${without.map((id) => `<exclusion>${coordinates(id)}</exclusion>`).join('')}</exclusions>`;
  const dependencies = jars.map(
    ({ id, without = [] }) =>
      `<dependency>${coordinates(id)}${without.length > 0 ? exclusions(without) : ''}</dependency>`,
  );
  return [
    '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>',
    `${coordinates('orderly:server:1')}<packaging>pom</packaging>`,
    `<dependencies>${dependencies.join('\n')}</dependencies></project>`,
  ].join('\n');
}
