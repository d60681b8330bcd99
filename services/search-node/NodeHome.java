import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.jar.JarOutputStream;
import java.util.stream.Stream;

/**
 * Completes the home folder of a SearchNode, where Elasticsearch looks for its modules.
 *
 * <p>Needs nothing but the JDK's own classes, so that neither a jar tool nor an unzip has to be there.
 *
 * <p>Arguments: HOME, which holds modules/transport-netty4/*.jar, modules/rest-root/ and the classes of root/.
 */
public final class NodeHome {
  private static final String DESCRIPTOR = "plugin-descriptor.properties";

  public static void main(String[] args) throws IOException {
    Path modules = Path.of(args[0], "modules");
    describeNetwork(modules.resolve("transport-netty4"));
    pack(Path.of(args[0], "root"), modules.resolve("rest-root").resolve("rest-root.jar"));
  }

  /** The descriptor lies in the jar. Its modulename asks for Java's module path, on which nothing lies here. */
  private static void describeNetwork(Path module) throws IOException {
    try (DirectoryStream<Path> jars = Files.newDirectoryStream(module, "transport-netty4-*.jar");
        JarFile jar = new JarFile(jars.iterator().next().toFile());
        InputStream text = jar.getInputStream(jar.getEntry("META-INF/es-plugins/transport-netty4/" + DESCRIPTOR))) {
      List<String> lines = new String(text.readAllBytes(), StandardCharsets.UTF_8).lines().toList();
      Files.write(
          module.resolve(DESCRIPTOR), lines.stream().filter(line -> !line.startsWith("modulename")).toList());
    }
  }

  private static void pack(Path classes, Path jar) throws IOException {
    try (JarOutputStream out = new JarOutputStream(Files.newOutputStream(jar));
        Stream<Path> files = Files.walk(classes)) {
      for (Path file : files.filter(Files::isRegularFile).toList()) {
        out.putNextEntry(new JarEntry(classes.relativize(file).toString()));
        Files.copy(file, out);
        out.closeEntry();
      }
    }
  }
}
