import java.util.List;
import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.iceberg.DataFile;
import org.apache.iceberg.DataFiles;
import org.apache.iceberg.DeleteFile;
import org.apache.iceberg.FileFormat;
import org.apache.iceberg.FileMetadata;
import org.apache.iceberg.PartitionSpec;
import org.apache.iceberg.RowDelta;
import org.apache.iceberg.Schema;
import org.apache.iceberg.Table;
import org.apache.iceberg.deletes.BaseDVFileWriter;
import org.apache.iceberg.hadoop.HadoopTables;
import org.apache.iceberg.io.OutputFileFactory;
import org.apache.iceberg.types.Types;

/**
 * A table whose rows are deleted by position deletes of version 2, then by deletion vectors of version 3.
 *
 * <p>Arguments: its folder, which holds data/a.parquet, b.parquet, c.parquet (10 rows each) and
 * data/deletes.parquet (row 9 of a, row 4 of b).
 */
public class WriteVectors {
  private static String root;
  private static Table table;

  public static void main(String[] arguments) throws Exception {
    root = arguments[0];
    Schema schema =
        new Schema(
            Types.NestedField.optional(1, "id", Types.LongType.get()),
            Types.NestedField.optional(2, "name", Types.StringType.get()));
    table =
        new HadoopTables(new Configuration(false))
            .create(schema, PartitionSpec.unpartitioned(), Map.of("format-version", "2"), root);
    DataFile a = rows("a");
    DataFile b = rows("b");
    table.newAppend().appendFile(a).appendFile(b).commit();
    DeleteFile old =
        FileMetadata.deleteFileBuilder(table.spec())
            .ofPositionDeletes()
            .withPath(root + "/data/deletes.parquet")
            .withFormat(FileFormat.PARQUET)
            .withFileSizeInBytes(size("deletes"))
            .withRecordCount(2)
            .build();
    table.newRowDelta().addDeletes(old).commit();
    table.updateProperties().set("format-version", "3").commit();
    List<DeleteFile> first = vectors(Map.of(a, new long[] {1, 3, 9}, b, new long[] {0, 4}));
    commit(first, List.of());
    List<DeleteFile> ofA =
        first.stream().filter(f -> f.referencedDataFile().equals(a.location())).toList();
    commit(vectors(Map.of(a, new long[] {1, 3, 5, 9})), ofA);
    table.newAppend().appendFile(rows("c")).commit();
  }

  private static long size(String name) {
    return new java.io.File(root + "/data/" + name + ".parquet").length();
  }

  private static DataFile rows(String name) {
    return DataFiles.builder(table.spec())
        .withPath(root + "/data/" + name + ".parquet")
        .withFileSizeInBytes(size(name))
        .withRecordCount(10)
        .build();
  }

  private static List<DeleteFile> vectors(Map<DataFile, long[]> rows) throws Exception {
    OutputFileFactory files =
        OutputFileFactory.builderFor(table, 1, 1).format(FileFormat.PUFFIN).build();
    BaseDVFileWriter writer = new BaseDVFileWriter(files, path -> null);
    for (Map.Entry<DataFile, long[]> of : rows.entrySet()) {
      for (long row : of.getValue()) {
        writer.delete(of.getKey().location(), row, table.spec(), null);
      }
    }
    writer.close();
    return writer.result().deleteFiles();
  }

  private static void commit(List<DeleteFile> added, List<DeleteFile> removed) {
    RowDelta delta =
        table.newRowDelta().validateFromSnapshot(table.currentSnapshot().snapshotId());
    added.forEach(delta::addDeletes);
    removed.forEach(delta::removeDeletes);
    delta.commit();
  }
}
