import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.transport.Netty4Plugin;

/**
 * One real Elasticsearch node in this JVM, without the distribution's scripts,
 * modules and bootstrap checks: SearchNode DIR PORT [name=value ...]. It ends with the JVM.
 */
public class SearchNode {
    public static void main(String[] args) throws Exception {
        Settings.Builder settings = Settings.builder()
                .put("path.home", args[0])
                .put("path.data", args[0] + "/data")
                .put("path.logs", args[0] + "/logs")
                .put("cluster.name", "addons-test")
                .put("node.name", "one")
                .put("discovery.type", "single-node")
                .put("network.host", "127.0.0.1")
                .put("http.port", args[1])
                .put("transport.port", "0")
                .put("transport.type", Netty4Plugin.NETTY_TRANSPORT_NAME)
                .put("http.type", Netty4Plugin.NETTY_HTTP_TRANSPORT_NAME)
                // A full test machine is no reason to make indexes read-only.
                .put("cluster.routing.allocation.disk.threshold_enabled", false)
                .put("action.auto_create_index", false);
        for (int i = 2; i < args.length; i++) {
            String[] pair = args[i].split("=", 2);
            settings.put(pair[0], pair[1]);
        }
        Environment env = InternalSettingsPreparer.prepareEnvironment(settings.build(), Map.of(), Path.of(args[0], "config"), () -> "one");
        LogConfigurator.setNodeName("one");
        Node node = new OneNode(env);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                node.close();
            } catch (Exception e) {
                System.err.println("close: " + e);
            }
        }));
        node.start();
        System.out.println("listening on http://127.0.0.1:" + args[1]);
        new CountDownLatch(1).await();
    }

    /** The constructor that takes plugins from the class path is protected. */
    static class OneNode extends Node {
        OneNode(Environment env) {
            super(env, List.of(Netty4Plugin.class), false);
        }
    }
}
