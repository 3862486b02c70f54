// edgec._core: the host engine in Python. Errors become edgec.errors classes; nothing here computes.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <vector>

#include "host/engine.h"
#include "host/error.h"
#include "host/tiers.h"

namespace py = pybind11;

namespace {

constexpr size_t max_ports = 32;
constexpr double cycles_worth_the_gil = 10000;  // some µs: below that, giving the GIL away costs more than it frees

void raise(const edgec::Error &e) {
  static const char *const classes[] = {"ArtifactError", "UsageError", "DataError"};
  try {
    const py::object type = py::module_::import("edgec.errors").attr(classes[static_cast<int>(e.kind)]);
    using namespace py::literals;
    const py::object error = type(e.what(), "where"_a = e.where, "why"_a = e.why, "fix"_a = e.fix);
    PyErr_SetObject(type.ptr(), error.ptr());
  } catch (py::error_already_set &failed) {
    failed.restore();
  }
}

edgec::Error wrong_buffer(const edgec::Engine &engine, size_t index, const std::string &what, const std::string &why) {
  const size_t inputs = engine.model().inputs.size();
  const std::string where = index < inputs ? "input " + std::to_string(index) : "output " + std::to_string(index - inputs);
  return edgec::Error(edgec::ErrorKind::data, what, where, why,
                      "pass C-contiguous int8 arrays: inputs in order, then outputs, one sample or the same batch in all");
}

// Where the bytes of a NumPy int8 array are; anything else that has a buffer goes the long way.
struct Bytes {
  uint8_t *at = nullptr;
  size_t bytes = 0;
};

class BufferView {
 public:
  BufferView() { view_.obj = nullptr; }
  ~BufferView() {
    if (view_.obj != nullptr) {
      PyBuffer_Release(&view_);
    }
  }
  BufferView(const BufferView &) = delete;
  BufferView &operator=(const BufferView &) = delete;
  bool get(PyObject *object, bool writable) {
    if (PyObject_GetBuffer(object, &view_, PyBUF_ND | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0)) != 0) {
      PyErr_Clear();
      view_.obj = nullptr;
      return false;
    }
    return true;
  }
  const Py_buffer &view() const { return view_; }

 private:
  Py_buffer view_;
};

PyTypeObject *ndarray_type = nullptr;

// The fast way for NumPy arrays: reads the array's own struct, no buffer request (which costs more than a small network).
bool numpy_bytes(PyObject *object, bool writable, Bytes &result) {
  if (Py_TYPE(object) != ndarray_type) {
    return false;
  }
  const auto *const array = py::detail::array_proxy(object);
  const int needed = py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ | (writable ? py::detail::npy_api::NPY_ARRAY_WRITEABLE_ : 0);
  if ((array->flags & needed) != needed || py::detail::array_descriptor1_proxy(array->descr)->type_num != py::detail::npy_api::NPY_BYTE_) {
    return false;
  }
  size_t bytes = 1;
  for (int i = 0; i < array->nd; i++) {
    bytes *= static_cast<size_t>(array->dimensions[i]);
  }
  result.at = reinterpret_cast<uint8_t *>(array->data);
  result.bytes = bytes;
  return true;
}

// run(*buffers): inputs, then outputs.
PyObject *engine_run(PyObject *self, PyObject *const *arguments, Py_ssize_t argument_count) {
  auto *const engine = static_cast<edgec::Engine *>(reinterpret_cast<py::detail::instance *>(self)->simple_value_holder[0]);
  if (engine == nullptr) {
    PyErr_SetString(PyExc_TypeError, "Engine.__init__ was not called");
    return nullptr;
  }
  try {
    const size_t ports = engine->ports();
    if (static_cast<size_t>(argument_count) != ports) {
      throw edgec::Error(edgec::ErrorKind::usage, "wrong number of buffers", "run",
                         std::to_string(argument_count) + " given, " + std::to_string(engine->model().inputs.size()) + " inputs and " +
                             std::to_string(engine->model().outputs.size()) + " outputs needed",
                         "pass every input in order, then every output");
    }
    uint8_t *at[max_ports];
    BufferView views[max_ports];
    size_t batch = 0;
    for (size_t i = 0; i < ports; i++) {
      const bool writable = i >= engine->model().inputs.size();
      Bytes bytes;
      if (!numpy_bytes(arguments[i], writable, bytes)) {
        if (!views[i].get(arguments[i], writable)) {
          throw wrong_buffer(*engine, i, "not a buffer the engine can use", writable ? "outputs must be writable and C-contiguous" : "inputs must be C-contiguous");
        }
        const Py_buffer &view = views[i].view();
        if (view.format == nullptr || std::string(view.format) != "b") {
          throw wrong_buffer(*engine, i, "wrong dtype", "int8 is needed");
        }
        bytes = {static_cast<uint8_t *>(view.buf), static_cast<size_t>(view.len)};
      }
      const size_t each = engine->port_bytes(i);
      const size_t samples = bytes.bytes / each;
      if (samples * each != bytes.bytes || (i != 0 && samples != batch)) {
        throw wrong_buffer(*engine, i, "wrong number of bytes",
                           std::to_string(bytes.bytes) + " given; one sample has " + std::to_string(each) +
                               (i != 0 ? ", and the first buffer holds " + std::to_string(batch) + " samples" : ""));
      }
      batch = samples;
      at[i] = bytes.at;
    }
    if (engine->cycles() * static_cast<double>(batch) >= cycles_worth_the_gil) {
      const py::gil_scoped_release released;
      engine->run(at, batch);
    } else {
      engine->run(at, batch);
    }
  } catch (const edgec::Error &e) {
    raise(e);
    return nullptr;
  } catch (const std::exception &e) {
    PyErr_SetString(PyExc_RuntimeError, e.what());
    return nullptr;
  }
  Py_RETURN_NONE;
}

PyMethodDef run_method = {
    "run", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&engine_run)), METH_FASTCALL,
    "run(*buffers): C-contiguous int8 buffers, inputs in order then outputs, one sample or one batch in all.\n\n"
    "Outputs are written in place. The GIL is released for larger work; safe from several threads at once."};

std::vector<const uint8_t *> input_pointers(const edgec::Engine &engine, const std::vector<py::bytes> &inputs, bool may_be_empty) {
  std::vector<const uint8_t *> at;
  if (inputs.empty() && may_be_empty) {
    return at;
  }
  if (inputs.size() != engine.model().inputs.size()) {
    throw edgec::Error(edgec::ErrorKind::usage, "wrong number of inputs", "inputs",
                       std::to_string(inputs.size()) + " given, " + std::to_string(engine.model().inputs.size()) + " needed", "pass every input in order");
  }
  for (size_t i = 0; i < inputs.size(); i++) {
    char *data = nullptr;
    Py_ssize_t bytes = 0;
    if (PyBytes_AsStringAndSize(inputs[i].ptr(), &data, &bytes) != 0) {
      throw py::error_already_set();
    }
    if (static_cast<size_t>(bytes) != engine.port_bytes(i)) {
      throw wrong_buffer(engine, i, "wrong number of bytes", std::to_string(bytes) + " given, " + std::to_string(engine.port_bytes(i)) + " needed");
    }
    at.push_back(reinterpret_cast<const uint8_t *>(data));
  }
  return at;
}

}  // namespace

PYBIND11_MODULE(_core, m) {
  m.doc() = "The host execution engine of edgec: C++ kernels, the tier chosen when an artifact is opened.";
  py::register_exception_translator([](std::exception_ptr p) {
    try {
      if (p) {
        std::rethrow_exception(p);
      }
    } catch (const edgec::Error &e) {
      raise(e);
    }
  });
  m.def("tiers", &edgec::available_tiers, "Names of the tiers this processor runs, worst first.");
  m.def("compiled_tiers", &edgec::compiled_tiers, "Names of the tiers this library was built with, worst first.");

  m.def("peak_macs_per_second", &edgec::peak_macs_per_second, py::arg("tier") = "",
        "Multiply-accumulates a second of the tier's dot product instruction on this core, measured now: the ceiling of its kernels.");

  m.def("copied_bytes_per_second", &edgec::copied_bytes_per_second, py::arg("bytes"),
        "Bytes read and written a second where so many are copied, measured now: the ceiling of what moves bytes.");

  m.def("thread_costs", [](int threads) {
          const edgec::ThreadCosts costs = edgec::thread_costs(threads);
          return py::make_tuple(costs.start, costs.asleep, costs.awake);
        }, py::arg("threads"),
        "Median seconds, measured now: starting the workers, an empty job with them asleep, an empty job with them awake.");

  py::class_<edgec::Engine> engine(m, "Engine", "One artifact of the generic layout, ready to run on this machine.");
  engine
      .def(py::init([](const py::bytes &artifact, const std::string &tier, int threads) {
             char *data = nullptr;
             Py_ssize_t bytes = 0;
             if (PyBytes_AsStringAndSize(artifact.ptr(), &data, &bytes) != 0) {
               throw py::error_already_set();
             }
             auto made = std::make_unique<edgec::Engine>(data, static_cast<size_t>(bytes), tier, threads);
             if (made->ports() > max_ports) {
               throw edgec::Error(edgec::ErrorKind::artifact, "too many inputs and outputs", "ports",
                                  std::to_string(made->ports()) + ", and the host engine takes 32", "split the network");
             }
             return made;
           }),
           py::arg("artifact"), py::arg("tier") = "", py::arg("threads") = 1,
           "artifact: the bytes of a .edgec file of the generic layout. tier: one of tiers(), or \"\" for the best that EDGEC_CPU allows.\n"
           "threads: the most that one run uses, 1 to 64; started only for work that gains from them.")
      .def(
          "benchmark",
          [](edgec::Engine &self, size_t count, size_t warmup, const std::vector<py::bytes> &inputs) {
            const auto at = input_pointers(self, inputs, true);
            const py::gil_scoped_release released;
            return self.benchmark(count, warmup, at);
          },
          py::arg("count"), py::arg("warmup") = 3, py::arg("inputs") = std::vector<py::bytes>(),
          "Seconds of each of `count` single inferences; the loop runs in C. Inputs default to fixed pseudo-random bytes.")
      .def(
          "profile",
          [](edgec::Engine &self, size_t count) {
            py::list result;
            for (const auto &step : self.profile(count)) {
              result.append(py::make_tuple(step.name, step.record, step.seconds));
            }
            return result;
          },
          py::arg("count") = 200, "For each step of the plan: (name, operator index or -1, median seconds).")
      .def(
          "trace",
          [](edgec::Engine &self, const py::args &arguments) {
            std::vector<py::bytes> inputs;
            for (const auto &a : arguments) {
              inputs.push_back(py::isinstance<py::bytes>(a) ? py::reinterpret_borrow<py::bytes>(a) : py::bytes(py::object(a.attr("tobytes")())));
            }
            py::list result;
            for (const auto &output : self.trace(input_pointers(self, inputs, false))) {
              result.append(py::bytes(reinterpret_cast<const char *>(output.data()), output.size()));
            }
            return result;
          },
          "trace(*inputs) -> list of bytes: the output of every operator in canonical order, for one sample (arrays or bytes).\n\n"
          "Runs the tier's kernels without fusing operators, so that every operator has an output.")
      .def_property_readonly("tier", &edgec::Engine::tier)
      .def_property_readonly("threads", &edgec::Engine::threads)
      .def_property_readonly("uses_threads", &edgec::Engine::uses_threads, "Whether a single inference is worth more than one thread.")
      .def_property_readonly("has_started_threads", &edgec::Engine::has_started_threads)
      .def_property_readonly("samples_at_once", [](edgec::Engine &self) { return self.batched() != nullptr ? self.batched()->samples : 1; },
                             "Samples of a larger batch that go through each layer together: 8 where that pays, else 1.")
      .def_property_readonly("arena_bytes", &edgec::Engine::arena_bytes, "Bytes of one arena on this host; every concurrent run has its own.")
      .def_property_readonly("macs", [](const edgec::Engine &self) { return self.model().macs; })
      .def_property_readonly("op_count", [](const edgec::Engine &self) { return self.model().records.size(); })
      .def_property_readonly("input_bytes",
                             [](const edgec::Engine &self) {
                               py::tuple sizes(self.model().inputs.size());
                               for (size_t i = 0; i < sizes.size(); i++) {
                                 sizes[i] = self.port_bytes(i);
                               }
                               return sizes;
                             })
      .def_property_readonly("output_bytes",
                             [](const edgec::Engine &self) {
                               py::tuple sizes(self.model().outputs.size());
                               for (size_t i = 0; i < sizes.size(); i++) {
                                 sizes[i] = self.port_bytes(self.model().inputs.size() + i);
                               }
                               return sizes;
                             })
      .def_property_readonly("costs", [](const edgec::Engine &self) {
        py::list result;
        const edgec::Plan &plan = self.plan();
        std::vector<size_t> parts(plan.steps.size(), 0);
        for (const auto &section : plan.sections) {
          std::fill(parts.begin() + static_cast<ptrdiff_t>(section.first), parts.begin() + static_cast<ptrdiff_t>(section.until), section.parts.size());
        }
        for (size_t i = 0; i < plan.steps.size(); i++) {
          result.append(py::make_tuple(plan.steps[i].name, plan.steps[i].cycles, parts[i]));
        }
        return result;
      }, "For each step of the plan: (name, cycles by the cost model, parts of its job for several threads or 0).")
      .def_property_readonly("steps", [](const edgec::Engine &self) {
        std::vector<std::string> names;
        for (const auto &step : self.plan().steps) {
          names.push_back(step.name);
        }
        return names;
      });

  ndarray_type = py::detail::npy_api::get().PyArray_Type_;
  const py::object run = py::reinterpret_steal<py::object>(PyDescr_NewMethod(reinterpret_cast<PyTypeObject *>(engine.ptr()), &run_method));
  engine.attr("run") = run;
}
