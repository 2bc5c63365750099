/* pair_style taylorfit: potentials of taylorfit and ænet in LAMMPS.
 *
 * One file, compiled against the headers of one LAMMPS (`taylorfit lammps --build`) and opened by plugin.c in a LAMMPS
 * that fits.  It links neither MPI, which the running LAMMPS brings, nor the engine, which is opened when the style is
 * created: so loading it cannot fail for want of either.
 *
 *   pair_style taylorfit [deviation every N file F] [extrapolation warn|stop|off] [limit X]
 *   pair_coeff * * FOLDER|FILES... SPECIES-OF-TYPE-1 SPECIES-OF-TYPE-2 ...        (NULL: a type of other styles)
 */

#define MPICH_SKIP_MPICXX 1    // the C interface of MPI alone
#define OMPI_SKIP_MPICXX 1
#include "pair.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "force.h"
#include "lammps.h"
#include "memory.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "update.h"
#define TAYLORFIT_OLD_LAMMPS (TAYLORFIT_LAMMPS_VERSION < 20220501)    // names that changed in 2022
#if TAYLORFIT_OLD_LAMMPS
#if __has_include("neigh_request.h")
#include "neigh_request.h"
#else    // Debian's headers leave it out; its first fields in 2020 and 2021
namespace LAMMPS_NS {
class NeighRequest : protected Pointers {
 public:
  int index;
  void *requestor;
  int requestor_instance, id, pair, fix, compute, command, neigh, half, full;
};
}    // namespace LAMMPS_NS
#endif
#endif

#include "taylorfit.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#ifndef TAYLORFIT_LIBRARY /* where the engine is, if not beside this plugin */
#define TAYLORFIT_LIBRARY "libtaylorfit.so"
#endif

namespace {

/* Descriptor components may be outside the training data by this many standard deviations; as in the ASE calculator. */
constexpr double TOLERANCE = 0.5;

/* Steps between two looks at how much the members of a committee differ, which needs the forces of each. */
constexpr int LOOK_EVERY = 10;

/* Functions of libtaylorfit, by the names in taylorfit.h. */
struct Engine {
  decltype(&tf_version) version;
  decltype(&tf_potential_new) potential_new;
  decltype(&tf_potential_load) load;
  decltype(&tf_potential_free) free;
  decltype(&tf_potential_members) members;
  decltype(&tf_potential_n_species) n_species;
  decltype(&tf_potential_species) species;
  decltype(&tf_potential_cutoff) cutoff;
  decltype(&tf_evaluate) evaluate;
  decltype(&tf_deviation) deviation;
};

/* The folder of this plugin. */
std::filesystem::path own_folder()
{
  Dl_info info;
  if (!dladdr(reinterpret_cast<void *>(&own_folder), &info) || !info.dli_fname) return {};
  return std::filesystem::absolute(info.dli_fname).parent_path();
}

template <typename Function> bool find(void *library, const char *name, Function &function)
{
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

/* Open the engine; an empty string, or what is wrong. */
std::string open_engine(Engine &engine)
{
  const char *named = getenv("TAYLORFIT_LIBRARY");
  std::vector<std::string> places;
  if (named) places.emplace_back(named);
  else places = {(own_folder().parent_path() / "_libs" / "libtaylorfit.so").string(), TAYLORFIT_LIBRARY};
  void *library = nullptr;
  std::string reason;
  for (const auto &place : places) {
    library = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library) break;
    const char *text = dlerror();
    reason += std::string(reason.empty() ? "" : "; ") + (text ? text : place.c_str());
  }
  if (!library)
    return "the engine libtaylorfit.so cannot be opened (" + reason + "); the environment variable TAYLORFIT_LIBRARY may name it";
  if (find(library, "tf_version", engine.version) && find(library, "tf_potential_new", engine.potential_new) &&
      find(library, "tf_potential_load", engine.load) && find(library, "tf_potential_free", engine.free) &&
      find(library, "tf_potential_members", engine.members) && find(library, "tf_potential_n_species", engine.n_species) &&
      find(library, "tf_potential_species", engine.species) && find(library, "tf_potential_cutoff", engine.cutoff) &&
      find(library, "tf_evaluate", engine.evaluate) && find(library, "tf_deviation", engine.deviation))
    return "";
  return "the engine libtaylorfit.so is of another version: rebuild with `taylorfit lammps --build`";
}

/* Files of a folder that end with .nn, sorted. */
std::vector<std::string> potentials_in(const std::filesystem::path &folder)
{
  std::vector<std::string> files;
  for (const auto &entry : std::filesystem::directory_iterator(folder))
    if (entry.path().extension() == ".nn" && !entry.is_directory()) files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  return files;
}

/* What the committee in a folder remembers of its test structures, eV/Angstrom; 0: nothing. */
double remembered_limit(const std::string &folder)
{
  static const std::string key = "force deviation, eV/A:";
  std::ifstream stream(std::filesystem::path(folder) / "data.limits");
  for (std::string line; std::getline(stream, line);)
    if (line.compare(0, key.size(), key) == 0) return std::max(0.0, strtod(line.c_str() + key.size(), nullptr));
  return 0.0;
}

/* Potential files by member: of a folder, of its subfolders (a committee), or as they are given. */
std::vector<std::vector<std::string>> potential_files(const std::vector<std::string> &given)
{
  if (given.size() != 1 || !std::filesystem::is_directory(given[0])) return {given};
  std::vector<std::string> own = potentials_in(given[0]);
  if (!own.empty()) return {own};
  std::map<std::string, std::vector<std::string>> members;
  for (const auto &entry : std::filesystem::directory_iterator(given[0])) {
    if (!entry.is_directory()) continue;
    std::vector<std::string> files = potentials_in(entry.path());
    if (!files.empty()) members[entry.path().string()] = files;
  }
  std::vector<std::vector<std::string>> found;
  for (const auto &member : members) found.push_back(member.second);
  return found;
}

}    // namespace

namespace LAMMPS_NS {

class PairTaylorfit : public Pair {
 public:
  PairTaylorfit(LAMMPS *, const Engine &);
  ~PairTaylorfit() override;
  void settings(int, char **) override;
  void coeff(int, char **) override;
  void init_style() override;
  double init_one(int, int) override { return cutoff; }
  void setup() override;
  void compute(int, int) override;
  void *extract(const char *, int &) override;
#if TAYLORFIT_OLD_LAMMPS
  void *extract_peratom(const char *, int &);
#else
  void *extract_peratom(const char *, int &) override;
#endif
  int pack_reverse_comm(int, int, double *) override;
  void unpack_reverse_comm(int, int *, double *) override;
  double memory_usage() override;

 private:
  enum Extrapolation { OFF, WARN, STOP };

  Engine engine;
  tf_potential *potential = nullptr;
  double cutoff = 0.0;
  int n_members = 0;
  std::vector<int> species_of_type;

  int every = 0;    // steps between rows of the file of deviations
  std::string file_name;
  FILE *file = nullptr;
  bigint written = -1;    // step of the last row
  Extrapolation extrapolation = WARN;
  bool warned = false;
  double limit = 0.0, limit_given = 0.0;    // eV/Angstrom that members may differ by in a force; 0: descriptors are compared

  int excess_wanted = 0, deviation_wanted = 0;    // set by fix pair on the steps it looks
  std::vector<double> excess, deviation, energy_of_member, force_of_member, sum_of_member;
  std::vector<int> component;

  void allocate();
  void deviations();
  void look_outside();
  void look_at_members();
  void show_on_first_rank();
};

PairTaylorfit::PairTaylorfit(LAMMPS *lmp, const Engine &engine_) : Pair(lmp), engine(engine_)
{
  restartinfo = 0;
  one_coeff = 1;
  single_enable = 0;
  manybody_flag = 1;
  no_virial_fdotr_compute = 1;
  centroidstressflag = CENTROID_AVAIL;
  nextra = 4;
  pvector = new double[nextra]();
}

PairTaylorfit::~PairTaylorfit()
{
  if (copymode) return;
  engine.free(potential);
  if (file) fclose(file);
  delete[] pvector;
  if (allocated) {
    memory->destroy(setflag);
    memory->destroy(cutsq);
  }
}

void PairTaylorfit::allocate()
{
  const int n = atom->ntypes + 1;
  memory->create(setflag, n, n, "pair:setflag");
  memory->create(cutsq, n, n, "pair:cutsq");
  for (int i = 1; i < n; i++)
    for (int j = i; j < n; j++) setflag[i][j] = 0;
  allocated = 1;
}

/* pair_style taylorfit [deviation every N file F] [extrapolation warn|stop|off] [limit X] */
void PairTaylorfit::settings(int narg, char **arg)
{
  every = 0;
  file_name.clear();
  extrapolation = WARN;
  limit_given = 0.0;
  const std::map<std::string, Extrapolation> words = {{"off", OFF}, {"warn", WARN}, {"stop", STOP}};
  for (int k = 0; k < narg;) {
    const std::string word = arg[k];
    if (word == "deviation" && k + 4 < narg && !strcmp(arg[k + 1], "every") && !strcmp(arg[k + 3], "file")) {
      char *end = nullptr;
      const long steps = strtol(arg[k + 2], &end, 10);
      if (*end || steps < 1 || steps > MAXSMALLINT)
        error->all(FLERR, std::string("pair_style taylorfit: deviation every ") + arg[k + 2] + ", expected a number of steps > 0");
      every = static_cast<int>(steps);
      file_name = arg[k + 4];
      k += 5;
    } else if (word == "extrapolation" && k + 1 < narg && words.count(arg[k + 1])) {
      extrapolation = words.at(arg[k + 1]);
      k += 2;
    } else if (word == "limit" && k + 1 < narg) {
      char *end = nullptr;
      limit_given = strtod(arg[k + 1], &end);
      if (*end || !(limit_given > 0.0) || !std::isfinite(limit_given))
        error->all(FLERR, std::string("pair_style taylorfit: limit ") + arg[k + 1] + ", expected eV/Angstrom > 0");
      k += 2;
    } else {
      error->all(FLERR, "pair_style taylorfit: " + word + " is not understood, expected: pair_style taylorfit "
                 "[deviation every N file F] [extrapolation warn|stop|off] [limit X]");
    }
  }
}

/* pair_coeff * * FOLDER|FILES... SPECIES... */
void PairTaylorfit::coeff(int narg, char **arg)
{
  const int n_types = atom->ntypes;
  const std::string usage = "pair_coeff * * FOLDER or FILES, then a species (or NULL) for each of the " +
      std::to_string(n_types) + " atom types";
  if (narg < 3 + n_types || strcmp(arg[0], "*") || strcmp(arg[1], "*"))
    error->all(FLERR, "pair_style taylorfit expects " + usage);
  if (!allocated) allocate();

  const int first = narg - n_types;
  std::vector<std::vector<std::string>> members;
  try {
    members = potential_files(std::vector<std::string>(arg + 2, arg + first));
  } catch (const std::filesystem::filesystem_error &problem) {
    error->all(FLERR, std::string("pair_style taylorfit: ") + problem.what());
  }
  if (members.empty() || members[0].empty())
    error->all(FLERR, std::string("pair_style taylorfit: no potentials *.nn in ") + arg[2] + " or its subfolders");
  std::vector<const char *> files;
  for (const auto &member : members) {
    if (member.size() != members[0].size())
      error->all(FLERR, "pair_style taylorfit: " + member[0] + ": a member with another number of potentials than the first");
    for (const auto &name : member) files.push_back(name.c_str());
  }

  engine.free(potential);
  potential = engine.potential_new();
  if (!potential) error->one(FLERR, std::string("pair_style taylorfit: no build of the engine for this processor beside libtaylorfit.so"));
  tf_error problem;
  if (engine.load(potential, static_cast<int>(members.size()), static_cast<int>(members[0].size()), files.data(), &problem))
    error->one(FLERR, std::string("pair_style taylorfit: ") + problem.message);
  cutoff = engine.cutoff(potential);
  n_members = engine.members(potential);

  species_of_type.assign(n_types + 1, -1);
  for (int type = 1; type <= n_types; type++) {
    const char *symbol = arg[first + type - 1];
    if (!strcmp(symbol, "NULL")) continue;
    std::string known;
    for (int k = 0; k < engine.n_species(potential); k++) {
      if (!strcmp(engine.species(potential, k), symbol)) species_of_type[type] = k;
      known += std::string(" ") + engine.species(potential, k);
    }
    if (species_of_type[type] < 0)
      error->all(FLERR, "pair_style taylorfit: no potential for species " + std::string(symbol) + " of atom type " +
                 std::to_string(type) + "; there are potentials for" + known);
  }
  bool any = false;
  for (int i = 1; i <= n_types; i++)
    for (int j = i; j <= n_types; j++) {
      setflag[i][j] = species_of_type[i] >= 0 && species_of_type[j] >= 0;
      any = any || setflag[i][j];
    }
  if (!any) error->all(FLERR, "pair_style taylorfit expects " + usage + "; all of them are NULL");
  limit = n_members < 2 ? 0.0 : limit_given > 0.0 ? limit_given : remembered_limit(arg[2]);
  if ((every || limit_given > 0.0) && n_members < 2)
    error->all(FLERR, std::string("pair_style taylorfit: deviation and limit need a committee: a folder with potentials in subfolders 01, 02, ..."));
}

void PairTaylorfit::init_style()
{
  if (strcmp(update->unit_style, "metal") != 0)
    error->all(FLERR, std::string("pair_style taylorfit needs units metal (eV, Angstrom), found units ") + update->unit_style);
  if (!force->newton_pair) error->all(FLERR, std::string("pair_style taylorfit needs newton on for pairs"));
  // A bonded pair that special_bonds leaves out of the list is missing in the descriptors as well
  if (atom->molecular != 0 && !force->kspace)
    for (int k = 1; k <= 3; k++)
      if (force->special_lj[k] == 0.0 && force->special_coul[k] == 0.0)
        error->all(FLERR, std::string("pair_style taylorfit needs all neighbours, but special_bonds leaves bonded ones out: "
                   "use special_bonds lj/coul 1 1 1"));
#if TAYLORFIT_OLD_LAMMPS
  const int request = neighbor->request(this, instance_me);
  neighbor->requests[request]->half = 0;
  neighbor->requests[request]->full = 1;
#else
  neighbor->add_request(this, NeighConst::REQ_FULL);
#endif
  comm_reverse = 3 * n_members;
  if (every && !file && comm->me == 0) {
    file = fopen(file_name.c_str(), "a");
    if (!file) error->one(FLERR, "pair_style taylorfit: " + file_name + " cannot be written: " + strerror(errno));
    fprintf(file, "# step  force deviation (eV/Angstrom): largest, mean  energy deviation (eV/atom)  furthest outside training (sigma)\n");
  }
  warned = false;
}

/* Ghosts must reach as far as an atom sees. */
void PairTaylorfit::setup()
{
  if (comm->get_comm_cutoff() < cutoff)
    error->all(FLERR, "pair_style taylorfit: the communication cutoff " + std::to_string(comm->get_comm_cutoff()) +
               " is shorter than the cutoff " + std::to_string(cutoff) + " of the potential: use comm_modify cutoff");
}

void PairTaylorfit::compute(int eflag, int vflag)
{
  ev_init(eflag, vflag);
  const int n_atoms = atom->nlocal + atom->nghost;
  // What compute pair shows is wanted where energies are
  const bool looks = extrapolation != OFF && limit > 0.0 && update->ntimestep % LOOK_EVERY == 0;
  const bool due = n_members > 1 && ((every && update->ntimestep % every == 0) || deviation_wanted || eflag_global || looks);
  const bool outside = (extrapolation != OFF && limit == 0.0) || excess_wanted || due;

  tf_atoms atoms{};
  atoms.n_atoms = n_atoms;
  atoms.n_centres = list->inum;
  atoms.n_types = atom->ntypes;
  atoms.mask = NEIGHMASK;
  atoms.position = n_atoms ? &atom->x[0][0] : nullptr;
  atoms.type = atom->type;
  atoms.species_of_type = species_of_type.data();
  atoms.centre = list->ilist;
  atoms.n_neighbours = list->numneigh;
  atoms.neighbours = list->firstneigh;

  tf_results results{};
  results.force = n_atoms ? &atom->f[0][0] : nullptr;
  if (eflag_global) results.energy = &eng_vdwl;
  if (eflag_atom) results.atom_energy = eatom;
  if (vflag_global) results.virial = virial;
  if (vflag_atom && n_atoms) results.atom_virial = &vatom[0][0];
  if (cvflag_atom && n_atoms) results.centroid_virial = &cvatom[0][0];
  if (outside) {
    excess.assign(n_atoms, 0.0);
    component.assign(n_atoms, 0);
    results.excess = excess.data();
    results.component = component.data();
  }
  if (due) {
    energy_of_member.assign(n_members, 0.0);
    force_of_member.assign(static_cast<size_t>(3) * n_members * n_atoms, 0.0);
    results.member_energy = energy_of_member.data();
    results.member_force = force_of_member.data();
  }

  tf_error problem;
  if (engine.evaluate(potential, &atoms, &results, std::max(1, comm->nthreads), nullptr, &problem))
    error->one(FLERR, "pair_style taylorfit, step " + std::to_string(update->ntimestep) + ": " + problem.message);
  if (outside) look_outside();
  if (due) deviations();
  if (due && extrapolation != OFF && limit > 0.0) look_at_members();
  if (due || eflag_global) show_on_first_rank();
}

/* Warn of, or stop at, atoms whose surroundings the training data did not have. */
void PairTaylorfit::look_outside()
{
  double worst = -1.0;
  int where = -1;
  for (int ii = 0; ii < list->inum; ii++) {
    const int i = list->ilist[ii];
    if (excess[i] > worst) {
      worst = excess[i];
      where = i;
    }
  }
  pvector[3] = worst;
  if (worst <= TOLERANCE || extrapolation == OFF || limit > 0.0) return;
  if (extrapolation == WARN && warned) return;
  char text[256];
  snprintf(text, sizeof text, "pair_style taylorfit, step %ld: atom %ld is outside the training data, descriptor component %d by %.2f sigma",
           static_cast<long>(update->ntimestep), static_cast<long>(atom->tag[where]), component[where] + 1, worst);
  if (extrapolation == STOP) error->one(FLERR, std::string(text));
  error->warning(FLERR, std::string(text) + " (told once; compute pair has the largest of every step)");
  warned = true;
}

/* Standard deviations over the committee, of forces that ghosts have given back. */
void PairTaylorfit::deviations()
{
  const int n = atom->nlocal;
#if TAYLORFIT_OLD_LAMMPS
  comm->reverse_comm_pair(this);
#else
  comm->reverse_comm(this);
#endif
  sum_of_member.resize(static_cast<size_t>(3) * n_members * n);
  const size_t n_all = n + atom->nghost;
  for (int m = 0; m < n_members; m++)
    std::copy_n(force_of_member.begin() + 3 * n_all * m, static_cast<size_t>(3) * n, sum_of_member.begin() + static_cast<size_t>(3) * n * m);
  deviation.assign(n_all, 0.0);
  engine.deviation(n_members, n, 3, sum_of_member.data(), deviation.data());

  double largest = 0.0, sums[2] = {0.0, static_cast<double>(list->inum)}, all_sums[2];
  for (int ii = 0; ii < list->inum; ii++) {
    const double value = deviation[list->ilist[ii]];
    largest = std::max(largest, value);
    sums[0] += value;
  }
  MPI_Allreduce(&largest, &pvector[0], 1, MPI_DOUBLE, MPI_MAX, world);
  MPI_Allreduce(sums, all_sums, 2, MPI_DOUBLE, MPI_SUM, world);
  std::vector<double> energies(n_members);
  MPI_Allreduce(energy_of_member.data(), energies.data(), n_members, MPI_DOUBLE, MPI_SUM, world);
  engine.deviation(n_members, 1, 1, energies.data(), &pvector[2]);
  const double n_centres = std::max(1.0, all_sums[1]);
  pvector[1] = all_sums[0] / n_centres;
  pvector[2] /= n_centres;
}

/* Warn of, or stop at, structures about which the members of a committee differ.  All ranks come here together. */
void PairTaylorfit::look_at_members()
{
  if (pvector[0] <= limit || (extrapolation == WARN && warned)) return;
  struct { double value; int atom; } worst{-1.0, 0}, everywhere;
  for (int ii = 0; ii < list->inum; ii++) {
    const int i = list->ilist[ii];
    if (deviation[i] > worst.value) worst = {deviation[i], static_cast<int>(atom->tag[i])};
  }
  MPI_Allreduce(&worst, &everywhere, 1, MPI_DOUBLE_INT, MPI_MAXLOC, world);
  char text[256];
  snprintf(text, sizeof text, "pair_style taylorfit, step %ld: unlike the training data, members differ by %.3g eV/Angstrom in the force on "
           "atom %d (limit %.3g)", static_cast<long>(update->ntimestep), everywhere.value, everywhere.atom, limit);
  if (extrapolation == STOP) error->all(FLERR, std::string(text));
  if (comm->me == 0) error->warning(FLERR, std::string(text) + " (told once; compute pair has the largest of every step)");
  warned = true;
}

/* compute pair adds the ranks up, so only the first keeps what is global; it also writes the row of the file. */
void PairTaylorfit::show_on_first_rank()
{
  double furthest = pvector[3];
  MPI_Allreduce(&furthest, &pvector[3], 1, MPI_DOUBLE, MPI_MAX, world);
  if (file && update->ntimestep % every == 0 && update->ntimestep != written) {
    fprintf(file, "%ld %.8g %.8g %.8g %.6g\n", static_cast<long>(update->ntimestep), pvector[0], pvector[1], pvector[2], pvector[3]);
    if (fflush(file)) error->one(FLERR, "pair_style taylorfit: " + file_name + " cannot be written: " + strerror(errno));
    written = update->ntimestep;
  }
  if (comm->me != 0) std::fill_n(pvector, nextra, 0.0);
}

/* fix pair asks for what it may set, and for the values themselves. */
void *PairTaylorfit::extract(const char *name, int &dim)
{
  dim = 0;
  if (!strcmp(name, "cutoff")) return &cutoff;
  if (!strcmp(name, "excess_flag")) return &excess_wanted;
  if (!strcmp(name, "deviation_flag")) return &deviation_wanted;
  return nullptr;
}

void *PairTaylorfit::extract_peratom(const char *name, int &n_columns)
{
  n_columns = 0;
  if (!strcmp(name, "excess")) return excess.data();
  if (!strcmp(name, "deviation") && n_members > 1) return deviation.data();
  return nullptr;
}

int PairTaylorfit::pack_reverse_comm(int n, int first, double *buffer)
{
  const size_t n_all = atom->nlocal + atom->nghost;
  int k = 0;
  for (int i = first; i < first + n; i++)
    for (int m = 0; m < n_members; m++)
      for (int c = 0; c < 3; c++) buffer[k++] = force_of_member[3 * (n_all * m + i) + c];
  return k;
}

void PairTaylorfit::unpack_reverse_comm(int n, int *numbers, double *buffer)
{
  const size_t n_all = atom->nlocal + atom->nghost;
  int k = 0;
  for (int l = 0; l < n; l++)
    for (int m = 0; m < n_members; m++)
      for (int c = 0; c < 3; c++) force_of_member[3 * (n_all * m + numbers[l]) + c] += buffer[k++];
}

double PairTaylorfit::memory_usage()
{
  const size_t numbers = excess.size() + deviation.size() + force_of_member.size() + sum_of_member.size();
  return Pair::memory_usage() + numbers * sizeof(double) + component.size() * sizeof(int);
}

}    // namespace LAMMPS_NS

using namespace LAMMPS_NS;

/* Make the style, or end with one clear error. */
static Pair *new_pair(LAMMPS *lmp)
{
  Engine engine;
  const std::string wrong = open_engine(engine);
  if (!wrong.empty()) lmp->error->all(FLERR, "pair_style taylorfit: " + wrong);
  return new PairTaylorfit(lmp, engine);
}

/* What plugin.c asks for. */
extern "C" {
void *taylorfit_new_pair(void *lmp) { return new_pair(static_cast<LAMMPS *>(lmp)); }
void taylorfit_add_pair(void *lmp) { (*static_cast<LAMMPS *>(lmp)->force->pair_map)["taylorfit"] = &new_pair; }
}
