!> Sums of angular symmetry functions over the triples of an atom, and their derivatives: triples are gathered row by row
!> into blocks for tf_behler_triples.
module tf_behler_angular
   use tf_kinds, only : wp, lanes, padded, i8
   use tf_vector_math, only : exponentials, whole_powers
   use tf_behler_tables, only : angular_type
   use tf_behler_shells, only : shells_type, new_shells, room, col_x, col_y, col_z, col_square, col_inverse, col_f, n_columns
   use tf_behler_triples, only : triples_type, triples_work_type, new_triples, new_triples_work, clear, keep_inside, &
      triple_values, prepare_gradient, triple_gradient
   use tf_error, only : error_type, check_memory
   implicit none
   private
   public :: behler_scratch_type, new_behler_scratch, angular_sums, angular_slopes

   !> Scratch for one thread
   type :: behler_scratch_type
      type(shells_type) :: shells
      !> (4, n_most, n_shells) vectors once more, interleaved
      real(wp), allocatable :: vector(:, :, :)
      !> (4, n_most, n_shells, n_sets) for each set of factors: sums of E, C cos θ and B of tf_behler_triples
      !> over the triples of a neighbour; sum of what is along the other neighbours
      real(wp), allocatable :: sums(:, :, :, :), across(:, :, :, :)
      !> (n_most, n_exponents) exponentials, and of the other shell
      real(wp), allocatable :: e(:, :), e_other(:, :)
      !> (n_most, 4)
      real(wp), allocatable :: extra(:, :)
      !> All triples of some rows, and those with a third side inside the cutoff
      type(triples_type) :: all_triples, triples
      type(triples_work_type) :: triples_work
   end type behler_scratch_type

contains

   !> Scratch for up to n_most neighbours in n_shells shells, and groups of up to n_radial functions, or
   !> n_exponents η and n_powers (λ, ζ)
   subroutine new_behler_scratch(n_most, n_shells, n_radial, n_exponents, n_powers, scratch, error)
      !> Largest numbers of neighbours, shells, and of what a shell or group of functions has
      integer, intent(in) :: n_most, n_shells, n_radial, n_exponents, n_powers
      type(behler_scratch_type), intent(out) :: scratch
      type(error_type), allocatable, intent(inout) :: error
      integer :: n, status

      n = room(n_most)
      call new_shells(n_most, n_shells, scratch%shells, error)
      if (allocated(error)) return
      allocate (scratch%vector(4, n, n_shells), scratch%sums(4, n, n_shells, 1), scratch%across(4, n, n_shells, 1), &
         scratch%e(n, max(n_radial, n_exponents)), scratch%e_other(n, n_exponents), scratch%extra(n, 4), &
         stat=status)
      call check_memory(status, "the scratch of descriptors", &
         8_i8*n*(12*n_shells + max(n_radial, n_exponents) + n_exponents + 4), error)
      if (.not. allocated(error)) call new_triples(n_most, scratch%all_triples, error)
      if (.not. allocated(error)) call new_triples(n_most, scratch%triples, error)
      if (.not. allocated(error)) call new_triples_work(scratch%triples%capacity, n_exponents, n_powers, &
         scratch%triples_work, error)
   end subroutine new_behler_scratch

   !> Shells of j (the smaller one) and k, and their sizes; one and the same shell: each pair once
   pure subroutine choose_rows(angular, shells, s_j, s_k, same)
      type(angular_type), intent(in) :: angular
      type(shells_type), intent(in) :: shells
      !> Shells of the two neighbours of a triple; are they the same?
      integer, intent(out) :: s_j, s_k
      logical, intent(out) :: same

      s_j = angular%shell(1)
      s_k = angular%shell(2)
      same = s_j == s_k
      if (shells%n(s_j) <= shells%n(s_k)) return
      s_j = angular%shell(2)
      s_k = angular%shell(1)
   end subroutine choose_rows

   subroutine angular_sums(angular, shells, scratch, values)
      type(angular_type), intent(in) :: angular
      type(shells_type), intent(in) :: shells
      type(behler_scratch_type), intent(inout) :: scratch
      !> (n_feature)
      real(wp), intent(inout) :: values(:)
      integer :: s_j, s_k, j
      logical :: same, some

      call choose_rows(angular, shells, s_j, s_k, same)
      if (shells%n(s_j) == 0) return
      if (.not. angular%third_side) call pair_exponentials(angular, s_j, s_k, shells, scratch)
      call clear(scratch%all_triples)
      do j = 1, shells%n(s_j)
         if (scratch%all_triples%n + padded(shells%n(s_k)) > scratch%all_triples%capacity) call finish
         call add_row(angular, s_j, s_k, j, merge(j + 1, 1, same), shells, scratch)
      end do
      if (scratch%all_triples%n > 0) call finish

   contains

      subroutine finish

         some = .false.
         if (angular%third_side) call keep_inside(scratch%all_triples, angular%r_cut**2, .false., &
            scratch%triples_work, scratch%triples, some)
         if (some) then
            call triple_values(angular, scratch%triples, scratch%triples_work, values)
         else
            call triple_values(angular, scratch%all_triples, scratch%triples_work, values)
         end if
         call clear(scratch%all_triples)
      end subroutine finish

   end subroutine angular_sums

   subroutine angular_slopes(angular, n_sets, g, shells, scratch)
      type(angular_type), intent(in) :: angular
      integer, intent(in) :: n_sets
      !> (n_feature, n_sets) factors of each value
      real(wp), intent(in) :: g(:, :)
      type(shells_type), intent(in) :: shells
      type(behler_scratch_type), intent(inout) :: scratch
      integer :: s_j, s_k, j
      logical :: same, some

      call choose_rows(angular, shells, s_j, s_k, same)
      if (shells%n(s_j) == 0) return
      if (.not. angular%third_side) call pair_exponentials(angular, s_j, s_k, shells, scratch)
      call clear(scratch%all_triples)
      do j = 1, shells%n(s_j)
         if (scratch%all_triples%n + padded(shells%n(s_k)) > scratch%all_triples%capacity) call finish
         call add_row(angular, s_j, s_k, j, merge(j + 1, 1, same), shells, scratch)
      end do
      if (scratch%all_triples%n > 0) call finish

   contains

      subroutine finish

         some = .false.
         if (angular%third_side) call keep_inside(scratch%all_triples, angular%r_cut**2, .true., &
            scratch%triples_work, scratch%triples, some)
         if (some) then
            call give_slopes(scratch%triples)
         else
            call give_slopes(scratch%all_triples)
         end if
         call clear(scratch%all_triples)
      end subroutine finish

      subroutine give_slopes(triples)
         type(triples_type), intent(in) :: triples
         integer :: set

         call prepare_gradient(angular, triples, scratch%triples_work)
         do set = 1, n_sets
            if (all(abs(g(angular%feature, set)) <= 0.0_wp)) cycle
            call triple_gradient(angular, g(:, set), triples, scratch%triples_work)
            call spread_rows(s_j, s_k, size(scratch%vector, 2), size(scratch%vector, 3), triples, &
               scratch%triples_work%slope, scratch%vector, scratch%sums(:, :, :, set), scratch%across(:, :, :, set))
         end do
      end subroutine give_slopes

   end subroutine angular_slopes

   !> Give the slopes of a block to the neighbours
   subroutine spread_rows(s_j, s_k, n_most, n_shells, triples, slope, vector, sums, across)
      !> As from `choose_rows`; room for neighbours and shells
      integer, intent(in) :: s_j, s_k, n_most, n_shells
      type(triples_type), intent(in) :: triples
      !> As in triples_work_type
      real(wp), intent(in) :: slope(4, triples%n)
      !> As in behler_scratch_type
      real(wp), intent(in) :: vector(4, n_most, n_shells)
      real(wp), intent(inout) :: sums(4, n_most, n_shells), across(4, n_most, n_shells)
      real(wp) :: sums_j(4), across_j(4)
      integer :: row, a, j

      do row = 1, triples%n_rows
         if (triples%length(row) == 0) cycle
         a = triples%start(row) + 1
         j = triples%j(row)
         call spread_row(triples%length(row), n_most, triples%k(a), slope(1, a), vector(1, j, s_j), &
            vector(1, 1, s_k), sums(1, 1, s_k), across(1, 1, s_k), sums_j, across_j)
         sums(:, j, s_j) = sums(:, j, s_j) + sums_j
         across(:, j, s_j) = across(:, j, s_j) + across_j
      end do
   end subroutine spread_rows

   !> Give the slopes of one row of triples to the neighbours k, and sum them up for j
   pure subroutine spread_row(n, n_most, k, slope, here, vector, sums, across, sums_j, across_j)
      !> Triples of the row, room for neighbours; second neighbour of each, and its slopes
      integer, intent(in) :: n, n_most
      integer, intent(in) :: k(n)
      real(wp), intent(in) :: slope(4, n)
      !> Vector to j
      real(wp), intent(in) :: here(4)
      real(wp), intent(in) :: vector(4, n_most)
      real(wp), intent(inout) :: sums(4, n_most), across(4, n_most)
      real(wp), intent(out) :: sums_j(4), across_j(4)
      real(wp) :: total(4), own(4), along
      integer :: i, l, c

      total = 0.0_wp
      own = 0.0_wp
      do i = 1, n
         l = k(i)
         along = slope(4, i)
         !$omp simd
         do c = 1, 4
            total(c) = total(c) + slope(c, i)
            sums(c, l) = sums(c, l) + slope(c, i)
            own(c) = own(c) + along*vector(c, l)
            across(c, l) = across(c, l) + along*here(c)
         end do
      end do
      sums_j = total
      across_j = own
   end subroutine spread_row

   !> exp(-η r²) of both shells: G5's exponentials are their products
   subroutine pair_exponentials(angular, s_j, s_k, shells, scratch)
      type(angular_type), intent(in) :: angular
      !> As from `choose_rows`
      integer, intent(in) :: s_j, s_k
      type(shells_type), intent(in) :: shells
      type(behler_scratch_type), intent(inout) :: scratch

      call one_shell(padded(shells%n(s_j)) + lanes, shells%column(:, col_square, s_j), scratch%e_other)
      call one_shell(padded(shells%n(s_k)) + lanes, shells%column(:, col_square, s_k), scratch%e)

   contains

      subroutine one_shell(n, square, e)
         !> Neighbours of the shell, and their squared distances (Å²)
         integer, intent(in) :: n
         real(wp), intent(in) :: square(n)
         !> (n, exponents)
         real(wp), intent(inout) :: e(:, :)
         integer :: m

         do m = 1, angular%n_exponent
            if (angular%base(m) > 0) then
               call whole_powers(n, e(:, angular%base(m)), angular%power(m), e(:, m))
            else
               scratch%extra(:n, 1) = -angular%eta(m)*square
               call exponentials(n, scratch%extra(:, 1), e(:, m))
            end if
         end do
      end subroutine one_shell

   end subroutine pair_exponentials

   !> Append the triples of neighbour j of one shell with the neighbours from `start` on of another
   subroutine add_row(angular, s_j, s_k, j, start, shells, scratch)
      type(angular_type), intent(in) :: angular
      !> As from `choose_rows`; first neighbour, and where the second ones start
      integer, intent(in) :: s_j, s_k, j, start
      type(shells_type), intent(in) :: shells
      type(behler_scratch_type), intent(inout) :: scratch
      real(wp) :: own(n_columns)
      integer :: m, b, i, last

      m = shells%n(s_k) - start + 1
      if (m < 1) return
      own = shells%column(j, :, s_j)
      associate (t => scratch%all_triples, shell => shells%column(:, :, s_k))
      b = t%n + 1
      last = t%n + padded(m)
      call row_geometry(padded(m), own, shell(start, col_x), shell(start, col_y), shell(start, col_z), &
         shell(start, col_square), shell(start, col_inverse), shell(start, col_f), t%cosine(b), t%third(b), t%s(b), &
         t%f(b), t%inverse(b))
      do i = 0, padded(m) - 1
         t%k(b + i) = start + i
      end do
      if (.not. angular%third_side) then
         do i = 1, angular%n_exponent
            scratch%triples_work%e(b:last, i) = scratch%e_other(j, i)*scratch%e(start:start + last - b, i)
         end do
      end if
      t%n_rows = t%n_rows + 1
      t%j(t%n_rows) = j
      t%start(t%n_rows) = t%n
      t%length(t%n_rows) = m
      t%n = last
      end associate
   end subroutine add_row

   !> Geometry of the triples of one neighbour j with n neighbours k; far-away k add up to a whole vector
   pure subroutine row_geometry(n, j, x, y, z, square, inverse_k, f_k, cosine, third, s, f, inverse)
      !> Triples of the row
      integer, intent(in) :: n
      !> Columns of j
      real(wp), intent(in) :: j(n_columns)
      real(wp), intent(in) :: x(n), y(n), z(n), square(n), inverse_k(n), f_k(n)
      !> As in triples_type
      real(wp), intent(out) :: cosine(n), third(n), s(n), f(n), inverse(n)
      integer :: i

      !$omp simd
      do i = 1, n
         third(i) = (x(i) - j(col_x))**2 + (y(i) - j(col_y))**2 + (z(i) - j(col_z))**2
         inverse(i) = j(col_inverse)*inverse_k(i)
         cosine(i) = max(-1.0_wp, min(1.0_wp, (x(i)*j(col_x) + y(i)*j(col_y) + z(i)*j(col_z))*inverse(i)))
         s(i) = j(col_square) + square(i) + third(i)
         f(i) = j(col_f)*f_k(i)
      end do
   end subroutine row_geometry

end module tf_behler_angular
