import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginsLoader;

/**
 * One Elasticsearch node in this JVM, bound to 127.0.0.1.
 *
 * <p>Of the distribution only the server and its network module are published as jars. This starts the same {@link
 * Node} from those two, without the parts that need the rest: security, native libraries, the policy agent.
 *
 * <p>Arguments: HOME (see NodeHome) DATA HTTP_PORT.
 */
public final class SearchNode {
  public static void main(String[] args) throws Exception {
    Path home = Path.of(args[0]);
    Path data = Path.of(args[1]);
    Map<String, String> settings = new HashMap<>();
    settings.put("path.home", home.toString());
    settings.put("path.data", data.resolve("nodes").toString());
    settings.put("path.logs", data.resolve("logs").toString());
    settings.put("cluster.name", "orderly");
    settings.put("node.name", "orderly-1");
    settings.put("discovery.type", "single-node");
    settings.put("network.host", "127.0.0.1");
    settings.put("http.port", args[2]);
    // Nobody joins a single node; port 0 leaves the choice to the system.
    settings.put("transport.port", "0");
    settings.put("http.type", "netty4");
    settings.put("transport.type", "netty4");
    // The disk of a development machine is often nearly full; the default watermarks would make indices read-only.
    settings.put("cluster.routing.allocation.disk.threshold_enabled", "false");

    LogConfigurator.configureESLogging();
    Environment environment =
        InternalSettingsPreparer.prepareEnvironment(
            Settings.EMPTY, settings, home.resolve("config"), () -> settings.get("node.name"));
    // False: plugins lie on the class path, for a jlinked runtime lacks what the module path wants.
    PluginsLoader plugins =
        PluginsLoader.createPluginsLoader(
            PluginsLoader.loadModulesBundles(environment.modulesDir(), false),
            PluginsLoader.loadPluginsBundles(environment.pluginsDir(), false),
            Map.of(),
            false);
    Node node = new Node(environment, plugins);
    Runtime.getRuntime().addShutdownHook(new Thread(() -> stop(node)));
    node.start();
    Thread.currentThread().join();
  }

  private static void stop(Node node) {
    try {
      node.prepareForClose();
      node.close();
    } catch (Exception e) {
      e.printStackTrace();
    }
  }
}
